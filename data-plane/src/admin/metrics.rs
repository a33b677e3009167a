//! The Prometheus text of a node.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use omcp_proto::v1::{BackendState, BackendStatus};
use tokio::runtime::Handle;

use crate::backends::BackendSet;
use crate::backends::lane::CallCounts;
use crate::members::{Counts, Members};
use crate::sync::view::View;

const STATES: [BackendState; 8] = [
    BackendState::Starting,
    BackendState::Ready,
    BackendState::Failing,
    BackendState::Stopped,
    BackendState::Rejected,
    BackendState::Degraded,
    BackendState::CrashLoop,
    BackendState::Idle,
];

/// The word for a state, as metrics and pages write it.
pub fn state_name(state: BackendState) -> &'static str {
    match state {
        BackendState::Unspecified => "unknown",
        BackendState::Starting => "starting",
        BackendState::Ready => "ready",
        BackendState::Failing => "failing",
        BackendState::Stopped => "stopped",
        BackendState::Rejected => "rejected",
        BackendState::Degraded => "degraded",
        BackendState::CrashLoop => "crash-loop",
        BackendState::Idle => "idle",
    }
}

/// All metrics of this moment.
pub fn text(view: &View, statuses: &[BackendStatus], set: &BackendSet, members: &Members) -> String {
    let mut page = Page(String::with_capacity(4096 + statuses.len() * 128));
    page.metric("omcp_config_revision", "gauge", "Revision of the store that this node has applied.");
    page.sample("omcp_config_revision", "", view.revision);
    page.metric("omcp_config_persisted_revision", "gauge", "Revision in the last-good file.");
    page.sample("omcp_config_persisted_revision", "", view.persisted_revision);
    page.metric("omcp_config_held_mass_removal", "gauge", "Whether a removal of most backends is held back.");
    page.sample("omcp_config_held_mass_removal", "", u8::from(view.held_mass_removal));
    page.metric("omcp_control_plane_connected", "gauge", "Whether the sync stream is open.");
    page.sample("omcp_control_plane_connected", "", u8::from(view.connected));
    if let Some(heard) = view.heard {
        page.metric(
            "omcp_control_plane_silence_seconds",
            "gauge",
            "Time since the control plane was last heard.",
        );
        page.sample("omcp_control_plane_silence_seconds", "", heard.elapsed().as_secs_f64());
    }
    page.metric(
        "omcp_connections_opened_total",
        "counter",
        "Connections to backends opened since the start.",
    );
    page.sample("omcp_connections_opened_total", "", set.connections_opened());
    fleet(&mut page, members);
    page.metric("omcp_tasks", "gauge", "Tasks of the node that have not ended.");
    page.sample("omcp_tasks", "", Handle::current().metrics().num_alive_tasks());
    calls(&mut page, set);
    backends(&mut page, statuses);
    page.0
}

fn fleet(page: &mut Page, members: &Members) {
    page.metric("omcp_members", "gauge", "Other nodes that this one knows.");
    page.sample("omcp_members", "", members.count_known());
    page.metric("omcp_ended_sessions", "gauge", "Deleted sessions that no node may open anew.");
    page.sample("omcp_ended_sessions", "", members.ended().count());
    let Counts { forwarded, received, unreachable } = members.counts();
    let counters = [
        ("omcp_forwarded_total", forwarded, "Requests that another node has answered for this one."),
        ("omcp_forwards_received_total", received, "Requests that this node took from another one."),
        ("omcp_forwards_unreachable_total", unreachable, "Requests whose node was not there."),
    ];
    for (name, counter, help) in counters {
        page.metric(name, "counter", help);
        page.sample(name, "", counter.load(Ordering::Relaxed));
    }
}

fn calls(page: &mut Page, set: &BackendSet) {
    page.metric("omcp_backend_processes", "gauge", "Processes of backends that live now.");
    page.sample("omcp_backend_processes", "", set.processes());
    let CallCounts { late, timed_out, lost, repeated } = set.calls();
    let counters = [
        ("omcp_late_answers_total", late, "Answers of backends that nobody waited for any more."),
        ("omcp_calls_timed_out_total", timed_out, "Calls given up because they took too long."),
        ("omcp_calls_lost_total", lost, "Calls that ended with the connection to their backend."),
        ("omcp_calls_repeated_total", repeated, "Calls that were sent to a backend a second time."),
    ];
    for (name, counter, help) in counters {
        page.metric(name, "counter", help);
        page.sample(name, "", counter.load(Ordering::Relaxed));
    }
}

fn backends(page: &mut Page, statuses: &[BackendStatus]) {
    page.metric("omcp_backends", "gauge", "Backends of this node by state.");
    for state in STATES {
        let count = statuses.iter().filter(|status| status.state() == state).count();
        page.sample("omcp_backends", &format!("{{state=\"{}\"}}", state_name(state)), count);
    }
    page.metric("omcp_backend_state", "gauge", "1 for the state that a backend is in.");
    for status in statuses {
        let labels = format!("{{backend=\"{}\",state=\"{}\"}}", status.backend, state_name(status.state()));
        page.sample("omcp_backend_state", &labels, 1);
    }
    page.metric("omcp_backend_sessions", "gauge", "Sessions open with a backend.");
    for status in statuses {
        page.sample("omcp_backend_sessions", &format!("{{backend=\"{}\"}}", status.backend), status.sessions);
    }
}

struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}
