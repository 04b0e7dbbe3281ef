//! `flmexec-service` without a cluster: scripts run for real, below a real keeper.
//!
//! `flmexec` against a cluster is tested in chaos/tests/it/flmctl/exec.rs.

use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use flame_ctl::exec::service::ExecService;
use flame_ctl::exec::{ExecView, STDERR_BYTES_MAX, STDOUT_BYTES_MAX, ScriptInput, ScriptOutput};
use flame_ctl::render::{Format, value_in};
use flame_sdk::service::{SessionContext, TaskContext};
use flame_sdk::types::limits::TASK_PAYLOAD_BYTES_MAX;
use flame_sdk::types::{TaskNo, TaskState};
use flame_sdk::{FlameService, TaskEnd};
use flame_testkit::wait_until;

use crate::golden::check;

const SERVICE: &str = env!("CARGO_BIN_EXE_flmexec-service");

/// Nothing here takes so long, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);

fn shell(code: &str) -> ScriptInput {
    ScriptInput { language: Some("shell".into()), code: code.into(), ..ScriptInput::default() }
}

fn python(code: &str) -> ScriptInput {
    ScriptInput { language: Some("Python".into()), code: code.into(), ..ScriptInput::default() }
}

/// What a task with this input gives, or why it fails.
async fn invoke(service: &ExecService, input: &[u8]) -> Result<Bytes, String> {
    let context = TaskContext { input: Some(Bytes::copy_from_slice(input)), ..TaskContext::default() };
    let output = tokio::time::timeout(LIMIT, service.on_task_invoke(context)).await.expect("the script does not end");
    output.map(|output| output.expect("a script always has an output")).map_err(|error| error.to_string())
}

async fn run(script: &ScriptInput) -> Result<ScriptOutput, String> {
    let output = invoke(&ExecService::with_keeper(SERVICE), &script.write()).await?;
    Ok(serde_json::from_slice(&output).expect("the documented form"))
}

/// What a script wrote to stdout; it must succeed.
async fn stdout_of(script: &ScriptInput) -> String {
    let output = run(script).await.unwrap_or_else(|message| panic!("{message}"));
    String::from_utf8(output.data).unwrap()
}

/// Why a script failed; it must fail.
async fn failure_of(script: &ScriptInput) -> String {
    run(script).await.expect_err("the script must fail")
}

#[tokio::test]
async fn both_languages_run_and_give_what_they_wrote() {
    for script in [
        shell("cat; echo complaint >&2; echo \"and this\""),
        python(
            "import sys\nsys.stdout.write(sys.stdin.read())\nprint('and this')\nprint('complaint', file=sys.stderr)",
        ),
    ] {
        let script = ScriptInput { input: Some(b"what it reads\n".to_vec()), ..script };
        let output = run(&script).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.data), "what it reads\nand this\n");
        assert_eq!((&output.stderr[..], output.exit_code), (&b"complaint\n"[..], 0));
    }
    let sh =
        ScriptInput { runtime: Some("/bin/sh".into()), ..shell("echo \"${BASH_VERSION:-none}\"; printf '\\377\\0'") };
    let output = run(&sh).await.unwrap();
    assert!(output.data.ends_with(b"\n\xff\0"), "bytes need be no text: {:?}", output.data);
}

#[tokio::test]
async fn a_published_client_is_understood_and_understands() {
    let service = ExecService::with_keeper(SERVICE);
    let attributes = br#"{"language":"shell","runtime":"sh","min_instances":0,"max_instances":null,"timeout":60}"#;
    let session = SessionContext { common_data: Some(Bytes::from_static(attributes)), ..SessionContext::default() };
    service.on_session_enter(session).await.unwrap();
    let output = invoke(&service, br#"{"language":"SHELL","code":"printf hi","input":null}"#).await.unwrap();
    assert_eq!(output, r#"{"data":[104,105],"stderr":[],"exit_code":0}"#);
    let output = invoke(&service, br#"{"code":"printf \"$0\""}"#).await.unwrap();
    assert_eq!(output, r#"{"data":[109,97,105,110,46,115,104],"stderr":[],"exit_code":0}"#, "as its session says");
}

#[tokio::test]
async fn common_data_that_is_wrong_fails_tasks_and_not_the_executor() {
    let service = ExecService::with_keeper(SERVICE);
    let session = SessionContext { common_data: Some(r#"{"timeout":"long"}"#.into()), ..SessionContext::default() };
    service.on_session_enter(session).await.unwrap();
    let message = invoke(&service, &shell("true").write()).await.unwrap_err();
    assert!(message.contains("common data"), "{message}");
    let session = SessionContext { common_data: Some("hello".into()), ..SessionContext::default() };
    service.on_session_enter(session).await.unwrap();
    invoke(&service, &shell("true").write()).await.unwrap();
}

#[tokio::test]
async fn standard_input_ends_whatever_the_task_brings() {
    assert_eq!(stdout_of(&shell("cat; echo end")).await, "end\n");
    assert_eq!(stdout_of(&python("import sys; print(len(sys.stdin.buffer.read()))")).await, "0\n");
    // More than any pipe holds: read to its end, read a little, and not read at all.
    let much = Some(vec![b'x'; 3 << 20]);
    for (code, expected) in
        [("wc -c", (3 << 20).to_string()), ("head -c 3", "xxx".into()), ("echo deaf", "deaf".into())]
    {
        let script = ScriptInput { input: much.clone(), ..shell(code) };
        assert_eq!(stdout_of(&script).await.trim(), expected, "{code}");
    }
}

#[tokio::test]
async fn a_script_that_fails_fails_its_task_and_the_message_says_why() {
    let message = failure_of(&shell("echo partial; echo 'no such thing' >&2; exit 3")).await;
    assert_eq!(message, "the script ended with exit code 3; the end of its stderr:\nno such thing");
    let message = failure_of(&shell("exit 1")).await;
    assert_eq!(message, "the script ended with exit code 1; it wrote nothing to stderr");
    let message = failure_of(&python("raise RuntimeError('broken')")).await;
    assert!(message.contains("exit code 1") && message.ends_with("RuntimeError: broken"), "{message}");
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11)] {
        let message = failure_of(&shell(&format!("kill -{signal} $$"))).await;
        assert!(message.starts_with(&format!("the script was killed by signal {number};")), "{message}");
    }
    let message = failure_of(&shell("seq 100000 >&2; exit 1")).await;
    assert!(message.ends_with("\n99999\n100000") && message.len() < 4096, "{message}");
}

#[tokio::test]
async fn what_cannot_be_run_says_so() {
    let other = ScriptInput { language: Some("ruby".into()), ..shell("puts 1") };
    assert!(failure_of(&other).await.contains("\"ruby\" is not known"));
    let runtime = |runtime: &str, script| ScriptInput { runtime: Some(runtime.into()), ..script };
    assert!(failure_of(&runtime("/opt/bash", shell("ls"))).await.contains("may not be asked for"));
    assert!(failure_of(&runtime("3.12; ls", python("1"))).await.contains("no version of Python"));
    let never = ScriptInput { timeout: Some(0.0), ..shell("ls") };
    assert!(failure_of(&never).await.contains("above 0"));
    let message = invoke(&ExecService::with_keeper(SERVICE), b"hello").await.unwrap_err();
    assert!(message.contains("no JSON object"), "{message}");
    let message = invoke(&ExecService::with_keeper("/nonexistent"), &shell("ls").write()).await.unwrap_err();
    assert!(message.contains("cannot run the script"), "{message}");
}

/// A script that starts what leaves its process group in every way there is, and writes all process numbers to a file.
fn family(file: &Path, then: &str) -> ScriptInput {
    let file = file.display();
    shell(&format!(
        "set -m\n\
         note() {{ echo $1 >> {file}; }}\n\
         note $$\n\
         sleep 601 & note $!\n\
         timeout 602 sleep 602 & note $!\n\
         setsid sh -c 'echo $$ >> {file}; sleep 603' &\n\
         (trap '' TERM HUP INT; sleep 604 & note $!; note $BASHPID; wait) &\n\
         until [ $(wc -l < {file}) = 6 ]; do sleep 0.01; done\n\
         echo ready >> {file}\n{then}\n"
    ))
}

/// Waits until the whole family is there, and gives its process numbers.
async fn members(file: &Path) -> Vec<u32> {
    let members = wait_until(LIMIT, "all processes of the script are there", || async {
        let text = std::fs::read_to_string(file)?;
        let numbers = text.strip_suffix("ready\n").ok_or_else(|| anyhow::anyhow!("so far {text:?}"))?;
        Ok(numbers.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?)
    });
    members.await.unwrap()
}

/// Those that live; who only waits to be reaped does not.
fn living(members: &[u32]) -> Vec<u32> {
    let lives = |pid: &&u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    };
    members.iter().filter(lives).copied().collect()
}

async fn all_end(members: &[u32]) {
    let gone = wait_until(LIMIT, "no process of the script is left", || async {
        let living = living(members);
        anyhow::ensure!(living.is_empty(), "still there: {living:?}");
        Ok(())
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_script_that_runs_too_long() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("members");
    let script = ScriptInput { timeout: Some(2.0), ..family(&file, "echo waiting >&2; wait") };
    let message = failure_of(&script).await;
    assert!(message.starts_with("the script ran longer than its timeout of 2s and was killed"), "{message}");
    // Within two seconds the family may not be complete on a busy machine; whoever was there is gone at once.
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let members: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(living(&members), [0; 0], "not after the answer");
}

#[tokio::test]
async fn nothing_is_left_of_a_script_that_ends_before_what_it_started() {
    for (then, succeeds) in [("exit 0", true), ("exit 1", false), ("kill -KILL $$", false)] {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("members");
        let result = run(&family(&file, then)).await;
        assert_eq!(result.is_ok(), succeeds, "{then}: {result:?}");
        let members = members(&file).await;
        assert_eq!((members.len(), living(&members)), (6, vec![]), "{then}: not after the answer");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_script_whose_worker_has_gone() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("members");
    let service = ExecService::with_keeper(SERVICE);
    let input = Some(Bytes::from(family(&file, "wait").write()));
    let members = {
        let task = pin!(service.on_task_invoke(TaskContext { input, ..TaskContext::default() }));
        tokio::select! {
            result = task => panic!("it ended: {result:?}"),
            members = members(&file) => members,
        }
    };
    assert_eq!(members.len(), 6);
    all_end(&members).await;
}

#[tokio::test]
async fn nothing_is_left_of_a_script_whose_service_was_killed() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("members");
    let code = family(&file, "wait").code;
    let mut keeper = Command::new(SERVICE);
    keeper.args(["__keep", "bash", "-c", &code]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut keeper = keeper.spawn().unwrap();
    let mut leash = keeper.stdin.take().unwrap();
    leash.write_all(&0_u64.to_le_bytes()).unwrap();
    let members = members(&file).await;
    assert_eq!(living(&members).len(), 6, "all live until the leash is let go");
    // The kernel does this when a process ends, however it ends.
    drop(leash);
    all_end(&members).await;
    let keeper = tokio::task::spawn_blocking(move || keeper.wait());
    assert!(tokio::time::timeout(LIMIT, keeper).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn each_script_has_a_folder_of_its_own_which_goes_with_it() {
    let look =
        "pwd; echo \"$TMPDIR\"; echo \"${FLAME_INSTANCE_ENDPOINT-unset}\"; mkdir -p a/b; touch a/b/c \"$TMPDIR/d\"; ls";
    let (first, second) = (stdout_of(&shell(look)).await, stdout_of(&shell(look)).await);
    let lines: Vec<_> = first.lines().collect();
    assert_eq!(lines[1], format!("{}/tmp", lines[0]));
    assert_eq!(lines[2..], ["unset", "a", "main.sh", "tmp"]);
    assert_ne!(second.lines().next(), Some(lines[0]));
    assert!(!Path::new(lines[0]).exists(), "{first}");
    let _failed = failure_of(&shell(&format!("pwd > {0}.path; exit 1", lines[0]))).await;
    let path = format!("{}.path", lines[0]);
    let folder = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(!Path::new(folder.trim()).exists(), "{folder}");
}

#[tokio::test]
async fn a_result_has_bounds_and_says_when_they_are_met() {
    let service = ExecService::with_keeper(SERVICE);
    // 255 is the longest byte there is in JSON.
    let bytes = |length: usize, to: &str| format!("head -c {length} /dev/zero | tr '\\0' '\\377' {to}\n");
    let most = shell(&(bytes(STDOUT_BYTES_MAX, "") + &bytes(STDERR_BYTES_MAX, ">&2")));
    let output = invoke(&service, &most.write()).await.unwrap();
    assert!(output.len() <= TASK_PAYLOAD_BYTES_MAX, "a task may have it: {}", output.len());
    let output: ScriptOutput = serde_json::from_slice(&output).unwrap();
    assert_eq!((output.data.len(), output.stderr.len()), (STDOUT_BYTES_MAX, STDERR_BYTES_MAX));

    let output = run(&shell(&bytes(STDERR_BYTES_MAX + 5, ">&2"))).await.unwrap();
    let head = b"[the first 5 bytes of stderr were left out]\n";
    assert!(output.stderr.starts_with(head), "{:?}", &output.stderr[..head.len()]);
    assert_eq!(output.stderr.len(), head.len() + STDERR_BYTES_MAX);

    let message = failure_of(&shell("echo begun >&2; yes")).await;
    assert!(message.contains(&format!("more than {STDOUT_BYTES_MAX} bytes to its stdout")), "{message}");
    assert!(message.ends_with("begun"), "{message}");
    let message = failure_of(&shell(&bytes(STDOUT_BYTES_MAX + 1, ""))).await;
    assert!(message.contains("more than"), "also when it ended by itself: {message}");
}

#[tokio::test]
async fn calls_that_overlap_do_not_disturb_each_other() {
    let service = ExecService::with_keeper(SERVICE);
    let run = |number: u32| {
        let (service, input) = (&service, shell(&format!("sleep 0.0{number}; echo {number}")).write());
        async move { invoke(service, &input).await }
    };
    let (one, two, three) = tokio::join!(run(1), run(2), run(3));
    for (number, output) in [(1, one), (2, two), (3, three)] {
        let output: ScriptOutput = serde_json::from_slice(&output.unwrap()).unwrap();
        assert_eq!(output.data, format!("{number}\n").into_bytes());
    }
}

#[test]
fn results_as_json_and_yaml() {
    let end = |task, state: TaskState, output: Option<&'static str>, message: Option<&str>| TaskEnd {
        task: TaskNo(task),
        state: state.into(),
        output: output.map(|text| text.as_bytes().into()),
        message: message.map(str::to_owned),
    };
    let written = r#"{"data":[104,105,10],"stderr":[255],"exit_code":0}"#;
    let published = r#"{"data":[]}"#;
    let ends = vec![
        end(10, TaskState::Failed, None, Some("the script ended with exit code 3; it wrote nothing to stderr")),
        end(2, TaskState::Succeed, Some(published), None),
        end(1, TaskState::Succeed, Some(written), None),
        end(11, TaskState::Cancelled, None, None),
    ];
    let view = ExecView::new("flmexec-Ab12Cd", ends).unwrap();
    let text = [Format::Json, Format::Yaml].map(|format| value_in(&view, format).unwrap()).join("\n");
    check("flmexec", &text);
    let foreign = vec![end(1, TaskState::Succeed, Some("hello"), None)];
    let failure = ExecView::new("s", foreign).unwrap_err();
    assert!(failure.message.contains("none of flmexec's"), "{failure}");
}
