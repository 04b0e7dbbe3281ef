//! The published calls: one per task, answered as its 0.7 generation answers.
//!
//! Calls that overlap run side by side, as published: whoever wants one after the other calls so.

use std::sync::Arc;

use flame_proto::v1;
use flame_proto::v1::instance_server::Instance;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, async_trait};

use super::api::{ApplicationContext, FlameService, SessionContext, TaskContext};
use super::shield::{FAILED, OK, shielded};

pub(super) struct Calls<S> {
    service: Arc<S>,
    user_code: Handle,
}

impl<S: FlameService> Calls<S> {
    pub(super) fn new(service: Arc<S>, user_code: Handle) -> Self {
        Self { service, user_code }
    }

    /// Runs a call where user code belongs. It ends with its caller.
    async fn away<T: Send + 'static>(&self, call: impl Future<Output = T> + Send + 'static) -> Result<T, Status> {
        let call = AbortOnDropHandle::new(self.user_code.spawn(call));
        call.await.map_err(|_| Status::unavailable("the service ends"))
    }

    fn attributes(&self) -> v1::ExecutorAttributes {
        let (publish, retract) = self.service.publisher().map(super::Publisher::take).unwrap_or_default();
        v1::ExecutorAttributes { publish, retract }
    }
}

#[async_trait]
impl<S: FlameService> Instance for Calls<S> {
    async fn on_session_enter(
        &self,
        request: Request<v1::SessionContext>,
    ) -> Result<Response<v1::OnSessionEnterResponse>, Status> {
        let result = match session_context(request.into_inner()) {
            Some(context) => {
                let service = Arc::clone(&self.service);
                self.away(async move { shielded(service.on_session_enter(context)).await }).await?
            }
            None => Err("the session comes without its application".to_owned()),
        };
        // What a service published on its way to a failure waits for the session that it does enter.
        let attributes = if result.is_ok() { self.attributes() } else { v1::ExecutorAttributes::default() };
        let result = Some(plain(result));
        Ok(Response::new(v1::OnSessionEnterResponse { result, attributes: Some(attributes) }))
    }

    async fn on_task_invoke(
        &self,
        request: Request<v1::TaskContext>,
    ) -> Result<Response<v1::OnTaskInvokeResponse>, Status> {
        let v1::TaskContext { task_id, session_id, input } = request.into_inner();
        let context = TaskContext { task_id, session_id, input, ..TaskContext::default() };
        let service = Arc::clone(&self.service);
        let result = self.away(async move { shielded(service.on_task_invoke(context)).await }).await?;
        let task_result = match result {
            Ok(output) => v1::TaskResult { return_code: OK, output, message: None },
            Err(text) => v1::TaskResult { return_code: FAILED, output: None, message: Some(text) },
        };
        let attributes = Some(self.attributes());
        Ok(Response::new(v1::OnTaskInvokeResponse { task_result: Some(task_result), attributes }))
    }

    async fn on_session_leave(&self, _request: Request<v1::EmptyRequest>) -> Result<Response<v1::Result>, Status> {
        let service = Arc::clone(&self.service);
        let result = self.away(async move { shielded(service.on_session_leave()).await }).await?;
        Ok(Response::new(plain(result)))
    }
}

fn session_context(context: v1::SessionContext) -> Option<SessionContext> {
    let v1::ApplicationContext { name, image, command, working_directory, url, .. } = context.application?;
    Some(SessionContext {
        session_id: context.session_id,
        application: ApplicationContext { name, image, command, working_directory, url },
        common_data: context.common_data,
        tokens: context.tokens,
        batch_size: context.batch_size.max(1),
    })
}

fn plain(result: Result<(), String>) -> v1::Result {
    match result {
        Ok(()) => v1::Result { return_code: OK, message: None },
        Err(text) => v1::Result { return_code: FAILED, message: Some(text) },
    }
}
