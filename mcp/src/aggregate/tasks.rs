//! [`TaskNames`]: what clients of the aggregate call the tasks of its backends.

/// A task of one of many backends, by the id that it has there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OwnedTask {
    pub backend: String,
    pub id: String,
}

/// Gives tasks their names. They are sealed, which takes keys and a clock: the caller has both.
pub trait TaskNames {
    /// The same name for the same task as long as anybody listens; `None` if it cannot have one.
    fn name(&self, task: OwnedTask, ttl_ms: u64) -> Option<String>;
}

impl OwnedTask {
    /// What is sealed in a name. No name of a backend has a zero in it.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.backend.as_bytes(), self.id.as_bytes()].join(&0)
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (backend, id) = std::str::from_utf8(bytes).ok()?.split_once('\0')?;
        Some(Self { backend: backend.to_owned(), id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_survives_its_travel() {
        for id in ["7", "", "a\0b", "g1.x"] {
            let task = OwnedTask { backend: "b-1".to_owned(), id: id.to_owned() };
            assert_eq!(OwnedTask::from_bytes(&task.to_bytes()), Some(task));
        }
        for bytes in [&b""[..], b"b", b"b\0\xff"] {
            assert_eq!(OwnedTask::from_bytes(bytes), None, "{bytes:?}");
        }
    }
}
