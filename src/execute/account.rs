//! `passwd` and `group` for the container: the image's own, and the caller's entry if it has none.
//!
//! Bytes: comments in such files are in any encoding, and what is not ours stays as it is.

/// The two files' contents.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) passwd: Vec<u8>,
    pub(super) group: Vec<u8>,
}

/// Completes the image's files; `host` are this machine's, for the names.
pub(super) fn account(
    (uid, gid): (u32, u32),
    image: (&[u8], &[u8]),
    host: (&[u8], &[u8]),
    home: &str,
) -> Account {
    let user = name_of(host.0, uid).unwrap_or_else(|| format!("user{uid}").into());
    let group = name_of(host.1, gid).unwrap_or_else(|| format!("group{gid}").into());
    let passwd_line = [&user[..], format!(":x:{uid}:{gid}::{home}:/bin/sh\n").as_bytes()].concat();
    let group_line = [&group[..], format!(":x:{gid}:").as_bytes(), &user, b"\n"].concat();
    Account {
        passwd: with_line(image.0, uid, &passwd_line),
        group: with_line(image.1, gid, &group_line),
    }
}

/// The name that a `name:x:ID:...` file gives an id.
fn name_of(file: &[u8], id: u32) -> Option<Vec<u8>> {
    file.split(|b| *b == b'\n').find_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        let name = fields.next()?;
        let number = std::str::from_utf8(fields.nth(1)?).ok()?;
        (number.parse() == Ok(id)).then(|| name.to_owned())
    })
}

fn with_line(file: &[u8], id: u32, line: &[u8]) -> Vec<u8> {
    let mut text = file.to_owned();
    if name_of(file, id).is_none() {
        if text.last().is_some_and(|last| *last != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_added_once() {
        let image: (&[u8], &[u8]) = (b"root:x:0:0:J\xf6rg:/root:/bin/bash\xff", b"root:x:0:\n");
        let host: (&[u8], &[u8]) = (b"ada:x:1000:100:\xe9:/home/ada:/bin/zsh\n", b"users:x:100:\n");
        let found = account((1000, 100), image, host, "/work_dir");
        assert_eq!(
            found.passwd,
            b"root:x:0:0:J\xf6rg:/root:/bin/bash\xff\nada:x:1000:100::/work_dir:/bin/sh\n"
        );
        assert_eq!(found.group, b"root:x:0:\nusers:x:100:ada\n");
        assert_eq!(account((0, 0), image, host, "/").passwd, image.0);
        assert!(account((7, 7), (b"", b""), host, "/").passwd.starts_with(b"user7:x:7:7:"));
    }
}
