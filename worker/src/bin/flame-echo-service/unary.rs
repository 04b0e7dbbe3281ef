//! The published calls.

use std::sync::Arc;

use bytes::Bytes;
use flame_proto::instance::RawInstance;
use flame_proto::v1;
use prost::Message;
use tokio::sync::Notify;
use tonic::{Request, Response, Status};

use crate::Dialect;
use crate::echo::{Echo, FAILED, Run};

pub(crate) struct Calls {
    echo: Arc<Echo>,
}

impl Calls {
    pub(crate) fn new(echo: Arc<Echo>) -> Self {
        Self { echo }
    }

    fn is_old(&self) -> bool {
        self.echo.flags.dialect == Dialect::Old
    }
}

#[tonic::async_trait]
impl RawInstance for Calls {
    async fn on_session_enter(&self, request: Request<v1::SessionContext>) -> Result<Response<Bytes>, Status> {
        let entered = self.echo.enter(&request.into_inner().session_id).await?;
        let (result, publish) = match entered {
            Ok(publish) => (v1::Result::default(), publish),
            Err(text) => (v1::Result { return_code: FAILED, message: Some(text) }, Vec::new()),
        };
        let reply = if self.is_old() {
            result.encode_to_vec()
        } else {
            let attributes = Some(v1::ExecutorAttributes { publish, retract: Vec::new() });
            v1::OnSessionEnterResponse { result: Some(result), attributes }.encode_to_vec()
        };
        Ok(Response::new(reply.into()))
    }

    async fn on_task_invoke(&self, request: Request<v1::TaskContext>) -> Result<Response<Bytes>, Status> {
        let v1::TaskContext { task_id, session_id, input } = request.into_inner();
        let run = Run { session: session_id, task: task_id, input, ..Run::default() };
        // This protocol has no word for a cancellation.
        let outcome = self.echo.invoke(run, &Notify::new()).await?;
        let return_code = if outcome.failure.is_some() { FAILED } else { 0 };
        let result = v1::TaskResult { return_code, output: outcome.output, message: outcome.failure };
        let reply = if self.is_old() {
            result.encode_to_vec()
        } else {
            let attributes = Some(v1::ExecutorAttributes { publish: outcome.publish, retract: outcome.retract });
            v1::OnTaskInvokeResponse { task_result: Some(result), attributes }.encode_to_vec()
        };
        Ok(Response::new(reply.into()))
    }

    async fn on_session_leave(&self, _: Request<v1::EmptyRequest>) -> Result<Response<Bytes>, Status> {
        self.echo.leave()?;
        Ok(Response::new(v1::Result::default().encode_to_vec().into()))
    }
}
