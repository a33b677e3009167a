//! What the server tells of tasks on its own account, for clients that listen to them.
//!
//! In the modern era a state comes with what belongs to it, questions or the end. A legacy server tells these on
//! `tasks/result`, so they are waited for, as with a look.

use bytes::Bytes;

use super::{LaneOutput, LaneTimer, LegacyLane};
use crate::bridge::edits::{joined, object, pair, quoted};
use crate::bridge::limits::ANNOUNCED_MS;
use crate::bridge::message::Message;
use crate::bridge::task::{self, Task, TaskStatus};
use crate::envelope::META_SUBSCRIPTION_ID;
use crate::revision::Era;
use crate::{compose, methods};

/// A state whose questions, or whose end, are not known yet: the server's own task object.
pub(super) struct News {
    pub status: TaskStatus,
    told: Bytes,
}

impl LegacyLane {
    /// `notifications/tasks/status`.
    pub(super) fn task_told(&mut self, notification: Message<'_>) {
        let params = notification.envelope().params_range().map(|at| notification.bytes().slice(at));
        let Some(told) = params.filter(|told| told.first() == Some(&b'{')) else { return };
        let Some(task) = Task::read(&told) else { return };
        let Some(number) = self.heard_as(&task) else { return };
        self.drop_news(number);
        let Some(handed) = self.tasks.get_mut(&number) else { return };
        match task.status {
            TaskStatus::InputRequired if handed.questions.is_empty() => {
                handed.news = Some(News { status: task.status, told });
                self.fetch(number);
                self.arm(LaneTimer::News(number), ANNOUNCED_MS);
            }
            TaskStatus::Completed | TaskStatus::Failed if !handed.has_end(task.status) => {
                handed.news = Some(News { status: task.status, told });
                self.fetch(number);
            }
            status => self.publish_task(number, &told, status),
        }
    }

    /// What news of a task waited for is there, or took too long.
    pub(super) fn tell_news(&mut self, number: u64) {
        let news = self.tasks.get_mut(&number).and_then(|handed| handed.news.take());
        if let Some(News { status, told }) = news {
            self.disarm(LaneTimer::News(number));
            self.publish_task(number, &told, status);
        }
    }

    pub(super) fn drop_news(&mut self, number: u64) {
        if self.tasks.get_mut(&number).and_then(|handed| handed.news.take()).is_some() {
            self.disarm(LaneTimer::News(number));
        }
    }

    /// The number of a task that somebody listens to.
    fn heard_as(&self, task: &Task) -> Option<u64> {
        let is_heard = |number: &u64| self.listens.values().any(|listen| listen.tasks.contains_key(number));
        let mut heard = self.tasks.iter().filter(|(number, _)| is_heard(number));
        heard.find(|(_, handed)| handed.task.id() == task.id()).map(|(number, _)| *number)
    }

    fn publish_task(&mut self, number: u64, told: &[u8], status: TaskStatus) {
        let Some((status, more)) = self.state_of(number, status) else { return };
        for (exchange, listen) in &self.listens {
            let Some(name) = listen.tasks.get(&number).filter(|_| listen.acknowledged) else { continue };
            let task = task::in_words_of(Era::Modern, told, &quoted(name), status);
            let meta = pair("_meta", &object(&pair(META_SUBSCRIPTION_ID, &listen.id)));
            let params = object(&joined(&[&task, &more, &meta]));
            let message = compose::notification(methods::TASKS, Some(&params)).into();
            self.outbox.push(LaneOutput::Client { exchange: *exchange, message });
        }
        if status.is_last() {
            self.task_is_over(number);
        }
    }
}
