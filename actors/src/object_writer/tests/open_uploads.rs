//! What is in the log while an upload is open, or may be.

use super::*;
use crate::testkit::Gate;

impl Scene {
    /// The ids in the log; nothing for a row that is in doubt.
    fn logged(&self) -> Vec<Option<UploadId>> {
        let rows = self.log.open();
        assert!(rows.iter().all(|row| row.object_key().unwrap() == self.key));
        assert!(rows.iter().all(|row| row.start == THIS_START));
        rows.into_iter().map(|row| row.upload.map(UploadId)).collect()
    }

    fn open(&self) -> Vec<UploadId> {
        self.bucket.open_uploads().into_iter().map(|(_, id)| id).collect()
    }

    /// What is in the log when a call has arrived, before its effect.
    async fn logged_at(&self, call: BucketCall, writer: &mut ObjectWriter) -> Vec<Option<UploadId>> {
        let gate = Gate::new();
        self.bucket.calls().plan(Trouble::hangs(call, &gate));
        let look = async {
            gate.arrived(1).await;
            let logged = self.logged();
            gate.open();
            logged
        };
        let (filled, logged) = tokio::join!(self.fill(writer, STEPS), look);
        filled.unwrap();
        logged
    }
}

#[tokio::test(start_paused = true)]
async fn that_an_upload_may_be_open_is_in_the_log_before_the_bucket_is_asked() {
    let scene = Scene::new();
    let mut writer = scene.writer(None);
    let logged = scene.logged_at(BucketCall::BeginUpload, &mut writer).await;
    assert_eq!(logged, [None]);
    assert_eq!(
        scene.logged(),
        [Some(scene.open().remove(0))],
        "its id is known now"
    );
    writer.abort().await;
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn an_upload_is_in_the_log_before_its_first_part_and_until_it_is_aborted() {
    let scene = Scene::new();
    let mut writer = scene.writer(None);
    let logged = scene.logged_at(BucketCall::UploadPart, &mut writer).await;
    assert_eq!(logged, [Some(scene.open().remove(0))]);
    writer.abort().await;
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_cannot_be_logged_is_not_begun() {
    let scene = Scene::new();
    scene.log.full.store(true, Ordering::SeqCst);
    let mut writer = scene.writer(None);
    assert!(scene.fill(&mut writer, STEPS).await.is_err());
    writer.abort().await;
    assert_eq!(scene.bucket.calls().count(BucketCall::BeginUpload), 0);
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_beginning_stays_in_doubt_whatever_becomes_of_the_object() {
    let scene = Scene::new();
    let lost = Trouble::loses_the_answer(BucketCall::BeginUpload, scene.fault());
    scene.bucket.calls().plan(lost);
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    writer.finish().await.unwrap();
    assert!(scene.bucket.content(&scene.key).unwrap() == all);
    assert_eq!((scene.logged(), scene.open().len()), (vec![None], 1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_beginning_leaves_no_doubt() {
    let scene = Scene::new();
    let refused = Trouble::fails(BucketCall::BeginUpload, scene.rejection());
    scene.bucket.calls().plan(refused);
    let mut writer = scene.writer(None);
    scene.fill(&mut writer, STEPS).await.unwrap_err();
    writer.abort().await;
    scene.nothing_is_left();
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_dropped_while_it_begins_leaves_its_doubt() {
    let scene = Scene::new();
    let gate = Gate::new();
    scene
        .bucket
        .calls()
        .plan(Trouble::hangs_after(BucketCall::BeginUpload, &gate));
    let mut writer = scene.writer(None);
    tokio::select! {
        _ = scene.fill(&mut writer, STEPS) => unreachable!("the gate is closed"),
        () = gate.arrived(1) => {}
    }
    writer.abort().await;
    assert_eq!((scene.logged(), scene.open().len()), (vec![None], 1));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_aborted_stays_in_the_log() {
    let scene = Scene::new();
    let calls = scene.bucket.calls();
    calls.plan(Trouble::fails(BucketCall::AbortUpload, scene.fault()).always());
    let mut writer = scene.writer(None);
    scene.fill(&mut writer, STEPS).await.unwrap();
    writer.abort().await;
    assert_eq!(calls.count(BucketCall::AbortUpload), 3);
    assert_eq!(scene.logged(), [Some(scene.open().remove(0))]);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_somebody_else_aborted_has_lapsed() {
    for at_the_end in [false, true] {
        let scene = Scene::new();
        let mut writer = scene.writer(None);
        scene.fill(&mut writer, STEPS).await.unwrap();
        let id = scene.open().remove(0);
        let aborted = scene.bucket.abort_upload(&scene.key, &id);
        aborted.await.unwrap();
        let fault = if at_the_end {
            writer.buffer().clear();
            writer.finish().await.unwrap_err()
        } else {
            let fault = scene.fill(&mut writer, STEPS).await.unwrap_err();
            writer.abort().await;
            fault
        };
        assert_eq!(fault.kind(), FaultKind::Lapsed, "{fault}");
        scene.nothing_is_left();
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_another_process_forestalled_is_aborted_although_the_object_is_there() {
    let scene = Scene::new();
    let calls = scene.bucket.calls();
    calls.plan(Trouble::fails(BucketCall::CompleteUpload, scene.fault()));
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    scene.bucket.plant(scene.key.clone(), all, Timestamp::now());
    assert_eq!(writer.finish().await.unwrap().proof, Proof::Found);
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_another_process_forestalled_stays_in_the_log_until_it_is_aborted() {
    let scene = Scene::new();
    let calls = scene.bucket.calls();
    calls.plan(Trouble::fails(BucketCall::CompleteUpload, scene.fault()));
    calls.plan(Trouble::fails(BucketCall::AbortUpload, scene.fault()).always());
    let mut writer = scene.writer(None);
    let all = scene.fill(&mut writer, STEPS).await.unwrap();
    scene.bucket.plant(scene.key.clone(), all, Timestamp::now());
    let id = scene.open().remove(0);
    writer.finish().await.unwrap();
    assert_eq!((scene.open(), scene.logged()), (vec![id.clone()], vec![Some(id)]));
}
