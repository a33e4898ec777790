//! Nodes whose addresses lead elsewhere than they say.

use std::time::Duration;

use crate::{
    network::{asks, serves, shares},
    process::{Kind, Place, joined_at},
    proxy::{Cable, Direction},
    town::model,
};

fn kind(model: &str) -> Kind {
    Kind { tick_ms: 10, sequences: 32, models: vec![model.to_owned()] }
}

/// Its link lives, since it dialled that itself; but nobody gets through to its port.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_port_is_shut_costs_others_a_moment_once() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let (cable, mut places) = (Cable::default(), [Place::free(), Place::free()]);
    let shut = cable.lead(&places[1].cluster, Direction::There).await;
    cable.both(|way| way.is_cut = true);
    places[1].words.push(format!("advertise={shut}"));
    let nodes = joined_at(folder.path(), &places, &kind(&name)).await;
    let first = asks(&nodes[0].client, &name, 24).are_whole().await;
    let second = asks(&nodes[0].client, &name, 24).are_whole().await;
    println!("a shut port: longest pause of the first 24 answers {first:?}, of the next {second:?}");
    assert!(first < Duration::from_millis(3_500), "one try, for all: {first:?}");
    assert!(second < Duration::from_millis(1_500), "nobody waits for another try: {second:?}");
    cable.mend();
    let begun = tokio::time::Instant::now();
    loop {
        let answers = asks(&nodes[0].client, &name, 16);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let is_used = serves(&nodes[0]).await;
        answers.are_whole().await;
        if is_used {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(40));
    }
    println!("used {:?} after it was opened", begun.elapsed());
}

/// As where two machines have an inner network with the same addresses, and both announce them.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_to_somebody_else_is_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let name = model(folder.path(), "m.gguf");
    let mut places = [Place::free(), Place::free()];
    let (own, others) = (places[1].cluster.clone(), places[0].cluster.clone());
    // The one who dials reaches itself there, at once; the other is a little way off.
    let cable = Cable::default();
    cable.both(|way| way.delay = Duration::from_millis(20));
    let far = cable.lead(&own, Direction::There).await;
    places[1].words.extend([format!("advertise={others}"), format!("advertise={far}")]);
    let nodes = joined_at(folder.path(), &places, &kind(&name)).await;
    let answers = asks(&nodes[0].client, &name, 24);
    shares(&nodes[0]).await;
    answers.are_whole().await;
}
