use std::collections::BTreeSet;
use std::fs;

use super::*;

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_failed_write_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, b"before").unwrap();
    let failed = atomically(&path, 0, |file| {
        file.write_all(b"half").unwrap();
        Err::<(), _>(Error::failed("no", "more"))
    });
    assert!(failed.is_err());
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(names(folder.path()), ["a".to_string()].into());
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let [target, link, chain] = ["target", "link", "chain"].map(|name| folder.path().join(name));
    // The last link is relative to its own folder, and what it names is not there yet.
    symlink("target", &link).unwrap();
    symlink(&link, &chain).unwrap();
    write(&chain, b"one").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"one");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    write(&link, b"two").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"two");
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&chain).unwrap().is_symlink() && fs::symlink_metadata(&link).unwrap().is_symlink());
    symlink("circle", folder.path().join("circle")).unwrap();
    assert!(write(&folder.path().join("circle"), b"").is_err());
}

#[cfg(unix)]
#[test]
fn a_socket_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(write(&path, b"x").unwrap_err().to_string().contains("socket"));
}

#[test]
fn a_new_folder_goes_with_all_that_is_in_it_unless_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    for is_kept in [false, true] {
        let path = folder.path().join("run");
        assert!(Transient::tree_with(path.clone(), || fs::read(path.join("none"))).is_err());
        let (run, ()) = Transient::tree_with(path.clone(), || fs::create_dir(&path)).unwrap();
        fs::create_dir(path.join("checkpoints")).unwrap();
        fs::write(path.join("checkpoints/a"), "x").unwrap();
        if is_kept {
            run.keep()
        } else {
            drop(run)
        }
        assert_eq!(path.join("checkpoints/a").exists(), is_kept);
    }
}

#[test]
fn only_what_the_dead_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".primal-gone00.tmp", ".tmpAbc123", "notes.tmp", ".primal-notes", ".tmpnotours"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let (_file, alive) = temporary(folder.path()).unwrap();
    let alive_name = alive.path().file_name().unwrap().to_str().unwrap().to_owned();
    let left: BTreeSet<String> = [".primal-notes", ".tmpAbc123", ".tmpnotours", "notes.tmp", &alive_name].map(str::to_owned).into();
    assert_eq!(names(folder.path()), left);
    sweep_all(folder.path());
    assert!(names(folder.path()).contains(&alive_name) && !names(folder.path()).contains(".tmpAbc123"));
    drop(alive);
    assert!(!names(folder.path()).contains(&alive_name));
}

#[test]
fn a_lock_is_had_once_and_not_on_a_name_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let [one, two] = [(); 2].map(|()| File::options().write(true).create(true).truncate(false).open(&path).unwrap());
    assert!(lock(&one, &path).unwrap());
    assert!(!lock(&two, &path).unwrap());
    fs::remove_file(&path).unwrap();
    drop(one);
    assert!(!lock(&two, &path).unwrap());
}
