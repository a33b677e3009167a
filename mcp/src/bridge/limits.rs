//! The bounds of both machines. Times are milliseconds.

/// Most calls in flight on one lane or session, suspended ones included.
pub const CALLS_MAX: usize = 256;
/// Most requests held until a lane's handshake is done.
pub const QUEUE_MAX: usize = 64;
/// Most calls that wait for their client to come back with answers.
pub const SUSPENDED_MAX: usize = 64;
/// Most questions of one call at a time; a form of sixteen prompts is a defect of the server.
pub const QUESTIONS_MAX: usize = 16;
/// Bytes of the questions of one call at a time. They are kept until they are answered.
pub const QUESTION_BYTES_MAX: usize = 1024 * 1024;
/// Server requests held because no call is in flight yet.
pub const UNSOLICITED_MAX: usize = 16;
/// Progress kept for a client that is away; the newest count.
pub const PROGRESS_KEPT_MAX: usize = 32;
/// Most `subscriptions/listen` requests open on one lane.
pub const LISTENS_MAX: usize = 256;
/// Most resources subscribed to on one lane or session.
pub const SUBSCRIPTIONS_MAX: usize = 1_024;
/// Bytes of client capabilities that are taken into account; they are copied into handshakes and tokens.
pub const CAPABILITIES_LEN_MAX: usize = 16 * 1024;

/// For a server to answer `initialize`, from the start of its process: package runners download first.
pub const HANDSHAKE_MS: u64 = 60_000;
/// After the first question of a call: servers that ask several things do so in one breath.
pub const GATHER_MS: u64 = 30;
/// How long a suspended call waits for its client.
pub const SUSPENSION_MS: u64 = 600_000;
/// How long a question that came before any call waits for one.
pub const UNSOLICITED_MS: u64 = 250;
/// For the subscriptions of a listen to be confirmed; what is late is left out.
pub const ACKNOWLEDGE_MS: u64 = 10_000;

/// Rounds of questions before a call fails, as the official server shims do it.
pub const ROUNDS_MAX: u32 = 8;
/// How long a legacy client may take to answer one question.
pub const ANSWER_MS: u64 = 600_000;
/// First and longest pause before a server that only gave a state is asked again.
pub const STATE_POLL_MS: (u64, u64) = (500, 15_000);
/// First and longest pause before a server is asked whether the user has finished at a URL.
pub const URL_POLL_MS: (u64, u64) = (2_000, 15_000);
/// All such pauses of one call together.
pub const POLL_TOTAL_MS: u64 = 600_000;
/// Shortest, usual and longest pause between two looks at a task.
pub const TASK_POLL_MS: (u64, u64, u64) = (50, 1_000, 60_000);
/// First and longest pause before a subscription that broke off is opened again.
pub const REOPEN_MS: (u64, u64) = (1_000, 30_000);
/// Longest time that a task is kept which its client looks at itself, from its creation. Servers are asked for as
/// much.
pub const TASK_TTL_MS: u64 = 24 * 60 * 60 * 1_000;
/// Most tasks of one lane or session that are not over.
pub const TASKS_MAX: usize = 256;
/// Most questions of one task, over all of its life: no name is used for two of them.
pub const TASK_QUESTIONS_MAX: usize = 1_024;
/// How long a client that looks at a task waits for the questions that its server has announced.
pub const ANNOUNCED_MS: u64 = 250;
/// Most pages of a list of tools that are looked at for those that may be tasks.
pub const TOOL_PAGES_MAX: usize = 64;
/// Most tools that are known to be such.
pub const TASK_TOOLS_MAX: usize = 4_096;
/// Results that a session keeps for tasks that were none, and their bytes; the oldest give way.
pub const OWN_TASKS_MAX: usize = 64;
pub const OWN_BYTES_MAX: usize = 8 * 1024 * 1024;
