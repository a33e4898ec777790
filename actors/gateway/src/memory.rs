//! How much memory models may take where the settings do not say.

use std::fs;
use std::path::Path;

/// Three quarters of what this process may use: the machine's memory, or less where its control group
/// says so. No limit where the system says nothing.
pub(crate) fn share() -> u64 {
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let limits = [machine, group_limit(&group, Path::new("/sys/fs/cgroup"))];
    limits.into_iter().flatten().min().map_or(u64::MAX, |bytes| bytes / 4 * 3)
}

/// `MemTotal` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit of a version 2 control group and those around it.
fn group_limit(group: &str, mount: &Path) -> Option<u64> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = mount.join(path);
    let around = folder.ancestors().take_while(|folder| folder.starts_with(mount));
    let limit = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    around.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert_eq!(total("MemTotal:       2048 kB\nMemFree:  1 kB\n"), Some(2 << 20));
        assert_eq!(total("nothing"), None);
    }

    #[test]
    fn the_lowest_limit_around_a_control_group_counts() {
        let mount = tempfile::tempdir().expect("a folder");
        let inner = mount.path().join("user/app");
        fs::create_dir_all(&inner).expect("folders");
        fs::write(inner.join("memory.max"), "max\n").expect("a file");
        fs::write(mount.path().join("user/memory.max"), "1000000\n").expect("a file");
        assert_eq!(group_limit("0::/user/app\n", mount.path()), Some(1_000_000));
        assert_eq!(group_limit("0::/\n", mount.path()), None);
        assert_eq!(group_limit("4:memory:/user/app\n", mount.path()), None, "version 1 is not read");
    }
}
