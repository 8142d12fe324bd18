use super::*;
use crate::object_key::ObjectKey;
use crate::patient_state::PatientState;
use crate::ports::state::Change;
use crate::stream_id::StreamId;
use crate::testkit::{BucketCall, FakeBucket, MemoryState, Trouble};

struct Scene {
    bucket: FakeBucket,
    state: MemoryState,
    sweep: UploadSweep,
}

/// Which start is under test, and the one before it.
const THIS: u64 = 2;
const EARLIER: u64 = 1;

/// When it began.
const STARTED: Timestamp = Timestamp::from_micros(1_000_000_000);

fn key(label: &str) -> ObjectKey {
    StreamId::new("samples", label, &"ab".repeat(32)).unwrap().into()
}

fn before() -> Timestamp {
    Timestamp::from_micros(STARTED.as_micros() - 1)
}

fn settled() -> Timestamp {
    STARTED.after(SETTLED)
}

impl Scene {
    fn new() -> Self {
        let (bucket, state) = (FakeBucket::new(), MemoryState::new().reopen());
        let kept = Rc::new(PatientState::new(Rc::new(state.clone())));
        Self {
            sweep: UploadSweep::new(Rc::new(bucket.clone()), kept.clone(), kept),
            bucket,
            state,
        }
    }

    async fn begin(&self, label: &str) -> UploadId {
        self.bucket.begin_upload(&key(label)).await.unwrap()
    }

    async fn log(&self, row: OpenUpload) -> OpenUpload {
        self.state.record(Change::UploadBegun(row.clone())).await.unwrap();
        row
    }

    async fn run(&self, now: Timestamp) -> Swept {
        self.sweep.run(now).await.unwrap()
    }

    fn logged(&self) -> Vec<OpenUpload> {
        self.state.open_uploads().unwrap()
    }

    fn open(&self) -> Vec<UploadId> {
        let mut open: Vec<UploadId> = self.bucket.open_uploads().into_iter().map(|(_, id)| id).collect();
        open.sort_by_key(|id| id.0.clone());
        open
    }
}

#[tokio::test]
async fn what_an_earlier_start_left_is_aborted_by_its_id_and_nothing_else_is() {
    let scene = Scene::new();
    let (left, other) = (scene.begin("content").await, scene.begin("content").await);
    scene
        .log(OpenUpload::new(&key("content"), &left, EARLIER, before()))
        .await;
    assert_eq!(scene.run(STARTED).await, Swept { aborted: 1, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![other], vec![]));
    assert_eq!(scene.bucket.calls().count(BucketCall::ListUploads), 0);
}

#[tokio::test]
async fn an_upload_that_nobody_knows_is_found_by_its_key() {
    let scene = Scene::new();
    for _ in 0..2 {
        scene.begin("content").await;
    }
    let other = scene.begin("text").await;
    scene
        .log(OpenUpload::in_doubt(&key("content"), EARLIER, before()))
        .await;
    assert_eq!(scene.run(settled()).await, Swept { aborted: 2, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![other], vec![]));
}

#[tokio::test]
async fn a_request_that_has_its_effect_late_is_not_forgotten() {
    let scene = Scene::new();
    let row = scene
        .log(OpenUpload::in_doubt(&key("content"), EARLIER, before()))
        .await;
    assert_eq!(scene.run(STARTED).await, Swept { aborted: 0, left: 1 });
    assert_eq!(scene.logged(), [row]);
    scene.begin("content").await;
    assert_eq!(scene.run(settled()).await, Swept { aborted: 1, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}

#[tokio::test]
async fn what_this_run_is_writing_is_left_alone() {
    let scene = Scene::new();
    scene
        .log(OpenUpload::in_doubt(&key("content"), EARLIER, before()))
        .await;
    let own = scene.begin("content").await;
    scene
        .log(OpenUpload::new(&key("content"), &own, THIS, STARTED))
        .await;
    let begins = scene.log(OpenUpload::in_doubt(&key("text"), THIS, STARTED)).await;
    let begun = scene.begin("text").await;
    assert_eq!(scene.run(STARTED).await, Swept { aborted: 0, left: 1 });
    assert_eq!(scene.open(), [own.clone(), begun.clone()]);
    assert!(scene.logged().contains(&begins));
    // An answer of this run's own that was lost is looked after when its time has come.
    assert_eq!(scene.run(settled()).await, Swept { aborted: 1, left: 1 });
    assert_eq!(scene.open(), [own]);
}

#[tokio::test]
async fn what_cannot_be_aborted_stays_and_does_not_keep_the_rest_from_it() {
    let scene = Scene::new();
    for label in ["a", "b", "c"] {
        let id = scene.begin(label).await;
        let row = match label {
            "b" => OpenUpload::in_doubt(&key(label), EARLIER, before()),
            _ => OpenUpload::new(&key(label), &id, EARLIER, before()),
        };
        scene.log(row).await;
    }
    let fault = || Fault::transient("planned", "", "503");
    for trouble in [
        Trouble::fails(BucketCall::AbortUpload, fault()).on(key("a")),
        Trouble::fails(BucketCall::ListUploads, fault()),
    ] {
        scene.bucket.calls().plan(trouble);
    }
    assert_eq!(scene.run(settled()).await, Swept { aborted: 1, left: 2 });
    assert_eq!((scene.open().len(), scene.logged().len()), (2, 2));
    assert_eq!(scene.run(settled()).await, Swept { aborted: 2, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}

#[tokio::test]
async fn where_uploads_are_not_listed_the_known_ones_are_aborted_all_the_same() {
    let scene = Scene::new();
    scene.bucket.list_no_uploads();
    let known = scene.begin("content").await;
    scene
        .log(OpenUpload::new(&key("content"), &known, EARLIER, before()))
        .await;
    scene
        .log(OpenUpload::in_doubt(&key("content"), EARLIER, before()))
        .await;
    assert_eq!(scene.run(settled()).await, Swept { aborted: 1, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}

#[tokio::test]
async fn a_row_of_an_earlier_version_is_understood() {
    let row: OpenUpload = serde_json::from_str(&format!(
        r#"{{"key":"{}","bundle":false,"upload":"upload-1"}}"#,
        key("content")
    ))
    .unwrap();
    let scene = Scene::new();
    assert_eq!(scene.begin("content").await.0, "upload-1");
    scene.log(row).await;
    assert_eq!(scene.run(STARTED).await, Swept { aborted: 1, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_of_this_run_look_older() {
    let scene = Scene::new();
    let own = scene.begin("content").await;
    let row = scene
        .log(OpenUpload::new(&key("content"), &own, THIS, before()))
        .await;
    scene
        .log(OpenUpload::in_doubt(&key("content"), EARLIER, before()))
        .await;
    assert_eq!(scene.run(before()).await, Swept { aborted: 0, left: 1 });
    assert_eq!(scene.open(), [own]);
    assert!(scene.logged().contains(&row));
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_nothing_of_an_earlier_start_look_like_this_ones() {
    let scene = Scene::new();
    let left = scene.begin("content").await;
    scene
        .log(OpenUpload::new(&key("content"), &left, EARLIER, settled()))
        .await;
    assert_eq!(scene.run(STARTED).await, Swept { aborted: 1, left: 0 });
    assert_eq!((scene.open(), scene.logged()), (vec![], vec![]));
}
