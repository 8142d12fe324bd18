//! An upload that another process aborted, because it was killed over the same object.

use super::*;

/// Longer than all attempts and the waits between them.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Scene {
    /// Aborts the open uploads each of the first `times` times that `call` comes in.
    async fn interfere(&self, call: BucketCall, times: usize) {
        for _ in 0..times {
            let gate = Gate::new();
            self.bucket.calls().plan(Trouble::hangs(call, &gate));
            let arrived = tokio::time::timeout(LONGEST, gate.arrived(1)).await;
            arrived.expect("it comes to this call once more");
            for (key, id) in self.bucket.open_uploads() {
                self.bucket.abort_upload(&key, &id).await.unwrap();
            }
            gate.open();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_lapsed_is_begun_anew_and_does_not_count() {
    let content = packed(12 * MIB);
    for call in [BucketCall::UploadPart, BucketCall::CompleteUpload] {
        let scene = Scene::holding(&content);
        let ((), outcome) = tokio::join!(scene.interfere(call, 3), scene.store());
        assert!(
            matches!(outcome, StreamOutcome::Stored { .. }),
            "{call:?}: {outcome:?}"
        );
        assert!(scene.restored() == content);
        assert_eq!(scene.downloads(), [0; 4]);
        assert_eq!((scene.bucket.open_uploads(), scene.log.open()), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_that_go_on_lapsing_are_an_outage_and_say_nothing_of_the_stream() {
    let scene = Scene::holding(&packed(12 * MIB));
    let ((), outcome) = tokio::join!(scene.interfere(BucketCall::UploadPart, 4), scene.store());
    assert!(outcome.is_outage(), "{outcome:?}");
    scene.nothing_is_left();
}
