//! The oldest kernel that the built-in runtime runs on.
//!
//! Linux 4.18 is RHEL 8's. Before it an ordinary user may not mount in a namespace of their own as this
//! needs (RHEL 7 has 3.10), and nobody tests it there.

/// Major and minor number.
const FLOOR: (u32, u32) = (4, 18);

/// What is wrong with a kernel of this release, `3.10.0-1160.el7.x86_64`; `None` when it is new enough
/// or says nothing that is a number.
pub(super) fn too_old(release: &str) -> Option<String> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (version < FLOOR).then(|| {
        format!("not supported here: the built-in runtime needs Linux {}.{}", FLOOR.0, FLOOR.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for old in ["3.10.0-1160.el7.x86_64", "2.6.78", "4.17.19", "4.4.0-generic"] {
            assert!(too_old(old).unwrap().contains("4.18"), "{old}");
        }
        for new in ["4.18.0-553.el8", "5.4", "6.18.44-fc", "10.0", "", "unknown"] {
            assert_eq!(too_old(new), None, "{new}");
        }
    }
}
