use understudy_identity::SystemClock;

use super::*;
use crate::testing;

#[tokio::test(start_paused = true)]
async fn who_leaves_and_joins_between_two_looks_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let files = ClusterFiles::at(folder.path());
    files.init("first", &SystemClock).unwrap();
    let node = testing::cluster(files.clone());
    node.open().await.unwrap();
    assert_eq!(node.name().as_deref(), Some("first"));
    assert_eq!(node.addresses().len(), 1);
    node.look().await.unwrap();
    assert_eq!(node.name().as_deref(), Some("first"), "nothing has changed");
    files.leave().unwrap();
    files.init("second", &SystemClock).unwrap();
    node.look().await.unwrap();
    assert_eq!(node.name(), None, "the first one is over");
    node.look().await.unwrap();
    assert_eq!(node.name().as_deref(), Some("second"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_left_shows_nobody_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let files = ClusterFiles::at(folder.path());
    files.init("lab", &SystemClock).unwrap();
    let node = testing::cluster(files.clone());
    node.open().await.unwrap();
    let part = node.0.running.load_full().unwrap();
    let mut seen = part.peers.view.clone();
    let seen = seen.wait_for(|view| view.own.node != 0).await.unwrap().clone();
    node.show(&part, seen.clone());
    assert_eq!(*node.watch().borrow(), seen);
    files.leave().unwrap();
    node.look().await.unwrap();
    // Whoever follows the part had this in hand as it ended.
    node.show(&part, seen);
    assert_eq!(**node.watch().borrow(), ClusterView::default());
}

#[tokio::test(start_paused = true)]
async fn who_was_turned_out_itself_ends_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = ClusterFiles::at(folder.path());
    let member = files.init("lab", &SystemClock).unwrap();
    let node = testing::cluster(files.clone());
    node.open().await.unwrap();
    files.revoke(member.key.fingerprint(), "stolen", &SystemClock).unwrap();
    // The list is reread within a second, and the part ends by itself.
    let mut looks = 0;
    while node.name().is_some() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        node.look().await.unwrap();
        looks += 1;
        assert!(looks < 10, "it goes on");
    }
    for _ in 0..2 {
        let error = node.look().await.unwrap_err();
        assert!(matches!(error, ClusterError::Identity(IdentityError::Denied { .. })), "{error}");
    }
}
