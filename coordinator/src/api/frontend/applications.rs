//! Applications.
//!
//! The three changes answer a refusal of the cluster inside the reply (return code -1), as published; a specification
//! that is wrong in itself is refused by status.

use flame_machine::State;
use flame_machine::command::Command;
use flame_machine::refusal::Refusal;
use flame_machine::reply::Reply;
use flame_machine::view::{self, AppView};
use flame_proto::{Invalid, v1};
use flame_types::limits::{APP_SPEC_BYTES_MAX, MESSAGE_BYTES_MAX};
use flame_types::{AppName, AppSpec};
use prost::Message;
use tonic::Status;

use super::schema;
use crate::api::call::Call;
use crate::api::errors::{invalid, not_done, refused, refused_in_band};
use crate::drive::gateway::{Gateway, GatewayError};

/// Most applications that are looked at in one go: apply waits meanwhile.
const APPLICATIONS_PER_READ_MAX: usize = 256;

pub async fn register(
    gateway: &Gateway,
    call: Call,
    message: v1::RegisterApplicationRequest,
) -> Result<v1::Result, Status> {
    let spec = checked_spec(message.application)?;
    let name = match AppName::parse(&message.name) {
        Ok(name) => name,
        Err(error) => return Ok(not_done(error.to_string())),
    };
    answer(call.change(gateway, Command::Register { name, spec: Box::new(spec) }).await)
}

pub async fn update(
    gateway: &Gateway,
    call: Call,
    message: v1::UpdateApplicationRequest,
) -> Result<v1::Result, Status> {
    let spec = checked_spec(message.application)?;
    let name = match AppName::parse(&message.name) {
        Ok(name) => name,
        Err(error) => return Ok(not_done(error.to_string())),
    };
    answer(call.change(gateway, Command::Update { name, spec: Box::new(spec) }).await)
}

pub async fn unregister(
    gateway: &Gateway,
    call: Call,
    message: v1::UnregisterApplicationRequest,
) -> Result<v1::Result, Status> {
    let name = match AppName::parse(&message.name) {
        Ok(name) => name,
        Err(error) => return Ok(not_done(error.to_string())),
    };
    answer(call.change(gateway, Command::Unregister { name }).await)
}

pub async fn get(gateway: &Gateway, call: Call, message: v1::GetApplicationRequest) -> Result<v1::Application, Status> {
    // A name that breaks the rules names nothing; published clients ask before they register.
    let name = AppName::parse(&message.name).map_err(|error| Status::not_found(format!("not found: {error}")))?;
    gateway.barrier(call.deadline).await?;
    let wanted = name.clone();
    let found = gateway.with_state(move |state: &State| view::app(state, wanted.as_str())).await?;
    let found = found.ok_or_else(|| refused(&Refusal::AppNotFound(name.to_string())))?;
    Ok(call.dialect.application(shown(found)))
}

pub async fn list(gateway: &Gateway, call: Call, state: Option<i32>) -> Result<v1::ApplicationList, Status> {
    let wanted = state.map(v1::ApplicationState::checked).transpose().map_err(|error| invalid(&error))?;
    gateway.barrier(call.deadline).await?;
    let mut list = v1::ApplicationList::default();
    let mut bytes = 0;
    let mut after: Option<AppName> = None;
    loop {
        let look = move |state: &State| view::apps(state, after.as_ref(), APPLICATIONS_PER_READ_MAX);
        let page = gateway.with_state(look).await?;
        after = page.last().map(|app| app.name.clone());
        for app in page.into_iter().filter(|app| wanted.is_none_or(|wanted| wanted == app.state)) {
            let application = call.dialect.application(shown(app));
            bytes += application.encoded_len();
            if bytes > MESSAGE_BYTES_MAX {
                let why = format!("the applications do not fit into one reply of {MESSAGE_BYTES_MAX} bytes");
                return Err(Status::resource_exhausted(why));
            }
            list.applications.push(application);
        }
        if after.is_none() {
            return Ok(list);
        }
    }
}

/// What the caller wants registered, if it is well formed.
fn checked_spec(spec: Option<v1::ApplicationSpec>) -> Result<AppSpec, Status> {
    let spec = spec.ok_or_else(|| invalid(&Invalid::ApplicationSpecMissing))?;
    let bytes = spec.encoded_len();
    if bytes > APP_SPEC_BYTES_MAX {
        let why = format!("the application has {bytes} bytes, at most {APP_SPEC_BYTES_MAX} are allowed");
        return Err(Status::invalid_argument(why));
    }
    let spec = AppSpec::try_from(spec).map_err(|error| invalid(&error))?;
    if let Some(schema) = &spec.schema {
        schema::check(schema)?;
    }
    if let Some(folder) = &spec.working_directory
        && !folder.starts_with('/')
    {
        let why = format!("working_directory must be an absolute path, got {folder:?}");
        return Err(Status::invalid_argument(why));
    }
    Ok(spec)
}

fn answer(done: Result<Reply, GatewayError>) -> Result<v1::Result, Status> {
    match done {
        Ok(_) => Ok(v1::Result { return_code: 0, message: None }),
        // These speak of the request and not of the cluster.
        Err(GatewayError::Refused(
            refusal @ (Refusal::InvalidSpec(_) | Refusal::RequestReused(_) | Refusal::RequestForgotten { .. }),
        )) => Err(refused(&refusal)),
        Err(GatewayError::Refused(refusal)) => Ok(refused_in_band(&refusal)),
        Err(error) => Err(error.into()),
    }
}

fn shown(app: AppView) -> v1::Application {
    let name = app.name.to_string();
    v1::Application {
        metadata: Some(v1::Metadata { id: name.clone(), name }),
        spec: Some(app.spec.into()),
        status: Some(v1::ApplicationStatus {
            state: v1::ApplicationState::from(app.state) as i32,
            creation_time: app.created.0,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_spec(spec: v1::ApplicationSpec) -> String {
        let status = checked_spec(Some(spec)).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn a_missing_specification_has_its_published_text() {
        assert_eq!(checked_spec(None).unwrap_err().message(), "applilcation spec is missed");
    }

    #[test]
    fn a_working_directory_is_absolute_or_none() {
        let folder =
            |path: &str| v1::ApplicationSpec { working_directory: Some(path.to_owned()), ..Default::default() };
        assert!(refused_spec(folder("work")).contains("must be an absolute path"));
        assert_eq!(checked_spec(Some(folder("/work"))).unwrap().working_directory.as_deref(), Some("/work"));
        assert_eq!(checked_spec(Some(folder(""))).unwrap().working_directory, None);
    }

    #[test]
    fn a_specification_has_a_limit_that_its_refusal_names() {
        let spec = v1::ApplicationSpec { description: Some("x".repeat(APP_SPEC_BYTES_MAX + 1)), ..Default::default() };
        assert!(refused_spec(spec).contains(&APP_SPEC_BYTES_MAX.to_string()));
    }

    #[test]
    fn refusals_come_in_band_unless_the_specification_is_wrong() {
        let exists = GatewayError::Refused(Refusal::AppExists("a".into()));
        assert_eq!(answer(Err(exists)).unwrap().return_code, -1);
        let used = GatewayError::Refused(Refusal::AppInUse { name: "a".into(), open: 2 });
        assert!(answer(Err(used)).unwrap().message.unwrap().contains("2 open sessions in the application"));
        let wrong = GatewayError::Refused(Refusal::InvalidSpec("no".into()));
        assert_eq!(answer(Err(wrong)).unwrap_err().code(), tonic::Code::InvalidArgument);
        let old = GatewayError::Refused(Refusal::RequestForgotten { next: flame_types::RequestNo(2) });
        assert_eq!(answer(Err(old)).unwrap_err().code(), tonic::Code::Aborted);
        assert_eq!(answer(Err(GatewayError::NoLeader)).unwrap_err().code(), tonic::Code::Unavailable);
        assert_eq!(answer(Ok(Reply::Done)).unwrap(), v1::Result { return_code: 0, message: None });
    }
}
