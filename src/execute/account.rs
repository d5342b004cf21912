//! `passwd` and `group` for the container: the image's own, and the caller's entry if it has none.

/// The two files' texts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) passwd: String,
    pub(super) group: String,
}

/// Completes the image's files; `host_passwd` and `host_group` are this machine's, for the names.
pub(super) fn account(
    (uid, gid): (u32, u32),
    image: (&str, &str),
    host: (&str, &str),
    home: &str,
) -> Account {
    let user = name_of(host.0, uid).unwrap_or_else(|| format!("user{uid}"));
    let group = name_of(host.1, gid).unwrap_or_else(|| format!("group{gid}"));
    Account {
        passwd: with_line(image.0, uid, &format!("{user}:x:{uid}:{gid}::{home}:/bin/sh\n")),
        group: with_line(image.1, gid, &format!("{group}:x:{gid}:{user}\n")),
    }
}

/// The name that a `name:x:ID:...` file gives an id.
fn name_of(file: &str, id: u32) -> Option<String> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

fn with_line(file: &str, id: u32, line: &str) -> String {
    let mut text = file.to_owned();
    if name_of(file, id).is_none() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_added_once() {
        let image = ("root:x:0:0:root:/root:/bin/bash", "root:x:0:\n");
        let host = ("ada:x:1000:100::/home/ada:/bin/zsh\n", "users:x:100:\n");
        let found = account((1000, 100), image, host, "/work_dir");
        assert_eq!(
            found.passwd,
            "root:x:0:0:root:/root:/bin/bash\nada:x:1000:100::/work_dir:/bin/sh\n"
        );
        assert_eq!(found.group, "root:x:0:\nusers:x:100:ada\n");
        assert_eq!(account((0, 0), image, host, "/").passwd, image.0);
        assert!(account((7, 7), ("", ""), host, "/").passwd.starts_with("user7:x:7:7:"));
    }
}
