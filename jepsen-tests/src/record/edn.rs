//! Recordings as EDN, for Jepsen's own tools: one operation map a line, as `jepsen.history` and Knossos read them.
//!
//! ```text
//! {:index 0, :time 17, :type :invoke, :process 3, :f :get, :value {:session "s", :task 1}}
//! {:index 1, :time 21, :type :ok, :process 3, :f :get, :value {:task 1, :state "Pending"}}
//! {:index 2, :time 30, :type :info, :process :nemesis, :f :kill, :value {:step :installed, …}}
//! ```
//!
//! Operations of clients keep their number, type and name; faults and phases are operations of the process `:nemesis`. What
//! watches, workers and nodes say is no operation in Jepsen's sense and is left out, and the indices count what is there.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use super::{ClientStep, Event, FaultKind, FaultStep, Nanos, Phase, Process, Recording, What};

/// Writes a recording as EDN.
///
/// # Errors
/// If `out` does not take it.
pub fn write(recording: &Recording, out: impl Write) -> std::io::Result<()> {
    let mut exporter = Exporter::new(out);
    recording.events.iter().try_for_each(|event| exporter.event(event))?;
    exporter.out.flush()
}

/// Writes events as EDN, one by one.
#[derive(Debug)]
pub struct Exporter<W> {
    out: W,
    index: u64,
    /// What each client has asked for: its ends are written under the same name.
    open: HashMap<Process, &'static str>,
    /// Faults that were installed: their heals are written under the same name.
    faults: HashMap<u32, FaultKind>,
}

impl<W: Write> Exporter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, index: 0, open: HashMap::new(), faults: HashMap::new() }
    }

    /// Writes one event, if it is an operation in Jepsen's sense.
    ///
    /// # Errors
    /// If the output does not take it.
    pub fn event(&mut self, event: &Event) -> std::io::Result<()> {
        let time = event.time;
        match &event.what {
            What::Client(client) => {
                let process = client.process;
                let open = self.open.get(&process).copied().unwrap_or("unknown");
                match &client.step {
                    ClientStep::Invoke { operation, .. } => {
                        self.open.insert(process, operation.name());
                        self.line(time, "invoke", &process.to_string(), operation.name(), &contents(operation))
                    }
                    ClientStep::Ok(answer) => self.line(time, "ok", &process.to_string(), open, &contents(answer)),
                    ClientStep::Fail(error) => self.line(time, "fail", &process.to_string(), open, &value(error)),
                    ClientStep::Info(error) => self.line(time, "info", &process.to_string(), open, &value(error)),
                    ClientStep::Again { .. } | ClientStep::Told { .. } => Ok(()),
                }
            }
            What::Fault(fault) => {
                if let FaultStep::Installed { kind, .. } | FaultStep::Skipped { kind, .. } = fault.step {
                    self.faults.insert(fault.fault, kind);
                }
                let kind = self.faults.get(&fault.fault).map(value);
                let name = kind.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned();
                self.line(time, "info", ":nemesis", &name, &value(&fault.step))
            }
            What::Phase(phase) => {
                let name = match phase {
                    Phase::HealBegan => "heal-began",
                    Phase::AtRest => "at-rest",
                    Phase::Drained => "drained",
                };
                self.line(time, "info", ":nemesis", name, &Value::Null)
            }
            What::Worker(_) | What::Node(_) => Ok(()),
        }
    }

    /// The output.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn line(&mut self, time: Nanos, kind: &str, process: &str, name: &str, value: &Value) -> std::io::Result<()> {
        let (index, time) = (self.index, time.0);
        self.index += 1;
        write!(self.out, "{{:index {index}, :time {time}, :type :{kind}, :process {process}, :f :{name}, :value ")?;
        write_value(&mut self.out, value)?;
        self.out.write_all(b"}\n")
    }
}

fn value(what: &impl Serialize) -> Value {
    serde_json::to_value(what).expect("what events are made of has no keys but texts")
}

/// What stands behind the name of a variant: the name itself is `:f`.
fn contents(what: &impl Serialize) -> Value {
    match value(what) {
        Value::Object(fields) if fields.len() == 1 => fields.into_iter().next().map_or(Value::Null, |(_, inner)| inner),
        Value::String(_) => Value::Null,
        other => other,
    }
}

fn write_value(out: &mut impl Write, value: &Value) -> std::io::Result<()> {
    match value {
        Value::Null => out.write_all(b"nil"),
        Value::Bool(_) | Value::Number(_) => write!(out, "{value}"),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.write_all(b"[")?;
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.write_all(b" ")?;
                }
                write_value(out, item)?;
            }
            out.write_all(b"]")
        }
        Value::Object(fields) => {
            out.write_all(b"{")?;
            for (at, (key, item)) in fields.iter().enumerate() {
                if at > 0 {
                    out.write_all(b", ")?;
                }
                write!(out, ":{} ", key.replace('_', "-"))?;
                write_value(out, item)?;
            }
            out.write_all(b"}")
        }
    }
}

/// EDN knows fewer escapes than JSON does: other control characters stand for themselves.
fn write_text(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('"');
    for letter in text.chars() {
        match letter {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other => escaped.push(other),
        }
    }
    escaped.push('"');
    out.write_all(escaped.as_bytes())
}
