//! Finds the file of a program, the way a shell would.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use omcp_core::GatewayError;
use rustix::fs::{Access, access};

/// Where to look when neither the backend nor the node has a PATH.
const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The PATH that the process will have: the backend's own, else the node's.
pub fn search_path(env: &BTreeMap<String, String>) -> OsString {
    let own = env.get("PATH").map(OsString::from);
    own.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| PATH_DEFAULT.into())
}

/// The absolute path of `command`. One with a slash is relative to `working_dir`, any other is
/// looked up in `path`.
///
/// # Errors
/// `InvalidSettings` naming the field `command` and what was looked for.
pub fn find(command: &str, working_dir: &Path, path: &OsStr) -> Result<PathBuf, GatewayError> {
    if command.is_empty() || command.contains('\0') {
        return Err(invalid("is empty or holds a NUL byte".to_owned()));
    }
    let hint =
        if command.contains(' ') { ", as command is one program and args what it is given" } else { "" };
    if command.contains('/') {
        return at(&working_dir.join(command), hint);
    }
    let candidates = std::env::split_paths(path).map(|dir| dir.join(command));
    let found = candidates.filter(|file| file.is_absolute()).find(|file| is_program(file));
    found.ok_or_else(|| invalid(format!("no program {command:?} in PATH{hint}")))
}

fn at(file: &Path, hint: &str) -> Result<PathBuf, GatewayError> {
    let shown = file.display();
    let file = std::path::absolute(file).map_err(|_| invalid(format!("{shown} is no path")))?;
    match (file.is_file(), is_program(&file)) {
        (false, _) => Err(invalid(format!("no file {}{hint}", file.display()))),
        (true, false) => Err(invalid(format!("{} is not executable by the node", file.display()))),
        (true, true) => Ok(file),
    }
}

fn is_program(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}

fn invalid(reason: String) -> GatewayError {
    GatewayError::invalid_settings(format!("command: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(command: &str) -> String {
        find(command, Path::new("/etc"), OsStr::new("/usr/bin:/bin")).unwrap_err().to_string()
    }

    #[test]
    fn names_are_looked_up_and_paths_are_taken() {
        let path = OsStr::new("/nonexistent:relative:/usr/bin:/bin");
        assert!(find("sh", Path::new("/"), path).unwrap().ends_with("bin/sh"));
        assert_eq!(find("/bin/sh", Path::new("/etc"), path).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("bin/sh", Path::new("/"), path).unwrap(), Path::new("/bin/sh"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(text("no-such-program"), "command: no program \"no-such-program\" in PATH");
        assert_eq!(text("./nothing"), "command: no file /etc/nothing");
        let hint = "as command is one program and args what it is given";
        assert_eq!(text("npx -y x"), format!("command: no program \"npx -y x\" in PATH, {hint}"));
        assert_eq!(text("/bin/npx -y"), format!("command: no file /bin/npx -y, {hint}"));
        assert_eq!(text("/etc/passwd"), "command: /etc/passwd is not executable by the node");
        assert_eq!(text("/etc/"), "command: no file /etc/");
        assert_eq!(text(""), "command: is empty or holds a NUL byte");
    }

    #[test]
    fn the_backends_own_path_wins() {
        let own = BTreeMap::from([("PATH".to_owned(), "/opt/bin".to_owned())]);
        assert_eq!(search_path(&own), "/opt/bin");
        assert_ne!(search_path(&BTreeMap::new()), "");
    }
}
