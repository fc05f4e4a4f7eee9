//! What is logged, for tests to read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A subscriber that keeps every event of the target `apikey`.
#[derive(Debug, Clone, Default)]
pub struct Log(Arc<Mutex<Vec<(ThreadId, Line)>>>);

/// One event: its level, its name and its fields as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How severe it is.
    pub level: Level,
    /// The event's name.
    pub name: String,
    /// The fields by name; `message` is one of them.
    pub fields: BTreeMap<String, String>,
}

impl Log {
    /// The log of this process, which becomes the default of every thread. Each test begins with it: nobody keeps what is
    /// logged before.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Log> = OnceLock::new();
        GLOBAL.get_or_init(|| {
            let log = Self::default();
            tracing::subscriber::set_global_default(log.clone()).unwrap();
            log
        })
    }

    /// What the current thread logs while `work` runs.
    pub fn during(&self, work: impl FnOnce()) -> Vec<Line> {
        self.take_of_this_thread();
        work();
        self.take_of_this_thread()
    }

    /// Every line, of whichever thread.
    pub fn lines(&self) -> Vec<Line> {
        self.0.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }

    fn take_of_this_thread(&self) -> Vec<Line> {
        let here = thread::current().id();
        self.0.lock().unwrap().extract_if(.., |(thread, _)| *thread == here).map(|(_, line)| line).collect()
    }
}

impl Line {
    /// A line to compare with.
    pub fn new(level: Level, name: &str, fields: &[(&str, &str)]) -> Self {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { level, name: name.to_owned(), fields }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "apikey"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let what = event.metadata();
        let line = Line { level: *what.level(), name: what.name().to_owned(), fields: fields.0 };
        self.0.lock().unwrap().push((thread::current().id(), line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
