//! What the macros make of user code, called as a service is called.

use std::sync::Mutex;

use bytes::Bytes;
use flame_sdk::service::{ApplicationContext, Entrypoint, Fence, SessionContext, TaskContext};
use flame_sdk::types::Token;
use flame_sdk::{FlameError, FlameInstance, FlameMessage, FlameService, IntoFlameInstance};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, FlameMessage)]
struct Pair {
    left: i64,
    right: i64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, FlameMessage)]
#[flame(codec = MessagePack)]
struct Wrapped<T> {
    value: T,
}

/// Adds.
#[flame_sdk::entrypoint]
async fn add(pair: Pair) -> Result<i64, FlameError> {
    pair.left.checked_add(pair.right).ok_or_else(|| FlameError::InvalidArgument("the sum is too large".into()))
}

#[flame_sdk::entrypoint]
async fn describe(instance: FlameInstance, given: Option<Wrapped<u8>>) -> Result<Option<String>, FlameError> {
    let Some(Wrapped { value }) = given else { return Ok(None) };
    let common: Option<i64> = instance.common_data()?;
    let (task, attempt) = (instance.task_id().unwrap_or("none").to_owned(), instance.attempt());
    let token = instance.token().map(|token| token.0);
    let secret = instance.secret("storage").unwrap_or("none");
    let folder = instance.application().working_directory.clone().unwrap_or_default();
    Ok(Some(format!("{} {value} {common:?} {task} {attempt:?} {token:?} {secret} {folder}", instance.session_id())))
}

/// Another name for the crate, as users have it.
mod renamed {
    use flame_sdk as flame;

    #[flame::entrypoint(crate = flame)]
    pub(super) async fn nothing() -> Result<(), flame::FlameError> {
        Ok(())
    }
}

#[derive(Default)]
struct Scaler {
    factor: Mutex<Option<i64>>,
}

#[flame_sdk::instance(leave = "rest")]
impl Scaler {
    async fn enter(&self, instance: FlameInstance) -> Result<(), FlameError> {
        assert_eq!(instance.task_id(), None);
        instance.publish(["ready"])?;
        let factor = instance.common_data()?.ok_or_else(|| FlameError::InvalidArgument("no factor".into()))?;
        *self.factor.lock().unwrap() = Some(factor);
        Ok(())
    }

    #[entrypoint]
    async fn scale(&self, number: i64) -> Result<i64, FlameError> {
        Ok(number * self.factor.lock().unwrap().unwrap_or(0))
    }

    async fn rest(&self) -> Result<(), FlameError> {
        *self.factor.lock().unwrap() = None;
        Ok(())
    }
}

fn session(common_data: Option<&i64>) -> SessionContext {
    let working_directory = Some("/srv".to_owned());
    SessionContext {
        session_id: "s".to_owned(),
        application: ApplicationContext { name: "a".to_owned(), working_directory, ..ApplicationContext::default() },
        common_data: common_data.map(|data| data.encode().unwrap()),
        tokens: [("storage".to_owned(), "key".to_owned())].into(),
        batch_size: 1,
    }
}

async fn invoke(service: &impl FlameService, input: Option<Bytes>) -> Result<Option<Bytes>, FlameError> {
    let fence = Some(Fence { token: Token(9), attempt: 2 });
    let context = TaskContext { task_id: "5".into(), session_id: "s".into(), input, fence, ..TaskContext::default() };
    service.on_task_invoke(context).await
}

#[tokio::test]
async fn a_function_is_a_service_and_stays_a_function() {
    let service = add.into_flame_instance();
    let early = invoke(&service, None).await.unwrap_err();
    assert!(early.class() == "failed_precondition" && early.to_string().contains("task 5"), "{early}");
    service.on_session_enter(session(None)).await.unwrap();
    let input = Pair { left: 1, right: 2 }.encode().unwrap();
    assert_eq!(invoke(&service, Some(input)).await.unwrap().as_deref(), Some(&b"3"[..]));
    let missing = invoke(&service, None).await.unwrap_err().to_string();
    assert!(missing.contains("missing task input") && missing.contains("Pair"), "{missing}");
    let wrong = invoke(&service, Some("{}".into())).await.unwrap_err();
    assert!(wrong.class() == "codec" && wrong.to_string().contains("Pair in JSON"), "{wrong}");
    let large = add::call(Pair { left: i64::MAX, right: 1 }).await.unwrap_err();
    assert_eq!(large.to_string(), "the sum is too large");
}

#[tokio::test]
async fn an_entrypoint_sees_its_session_and_its_task() {
    let service = describe.into_flame_instance();
    service.on_session_enter(session(Some(&4))).await.unwrap();
    assert_eq!(invoke(&service, None).await.unwrap(), None);
    let input = Wrapped { value: 7_u8 }.encode().unwrap();
    assert_ne!(&input[..1], b"{", "it is not JSON");
    let output = String::decode(invoke(&service, Some(input)).await.unwrap().unwrap()).unwrap();
    assert_eq!(output, "s 7 Some(4) 5 Some(2) Some(9) key /srv");
    service.on_session_leave().await.unwrap();
    assert_eq!(invoke(&service, None).await.unwrap_err().class(), "failed_precondition");
}

#[tokio::test]
async fn nothing_in_and_nothing_out_is_a_service_too() {
    let service = renamed::nothing.into_flame_instance();
    service.on_session_enter(session(None)).await.unwrap();
    assert_eq!(invoke(&service, Some("ignored".into())).await.unwrap(), None);
}

#[tokio::test]
async fn an_instance_has_state_for_its_session() {
    let service = Scaler::default().into_flame_instance();
    let refused = service.on_session_enter(session(None)).await.unwrap_err();
    assert_eq!(refused.to_string(), "no factor");
    service.on_session_enter(session(Some(&3))).await.unwrap();
    assert_eq!(invoke(&service, Some("14".into())).await.unwrap().as_deref(), Some(&b"42"[..]));
    assert!(service.publisher().is_some());
    service.on_session_leave().await.unwrap();
    assert_eq!(invoke(&service, Some("14".into())).await.unwrap_err().class(), "failed_precondition");
    fn is_entrypoint(_: &impl Entrypoint) {}
    is_entrypoint(&Scaler::default());
}
