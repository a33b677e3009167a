//! [`List`]: the four kinds of things that a server lists.

use crate::methods;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum List {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl List {
    pub const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    pub fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|list| list.method() == method)
    }

    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => methods::TOOLS_LIST,
            Self::Prompts => methods::PROMPTS_LIST,
            Self::Resources => methods::RESOURCES_LIST,
            Self::Templates => methods::RESOURCES_TEMPLATES_LIST,
        }
    }

    /// The member of a result that holds the entries.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The server capability that it belongs to.
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// The notification that tells of its change.
    pub const fn changed(self) -> &'static str {
        match self {
            Self::Tools => methods::TOOLS_LIST_CHANGED,
            Self::Prompts => methods::PROMPTS_LIST_CHANGED,
            Self::Resources | Self::Templates => methods::RESOURCES_LIST_CHANGED,
        }
    }

    /// The member of an entry that clients refer to it by.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// Whether a notification says that some list has changed.
pub fn is_change(method: &str) -> bool {
    List::ALL.iter().any(|list| list.changed() == method)
}
