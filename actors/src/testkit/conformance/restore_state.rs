//! The promises of [`RestoreState`].

mod checkpoints;
mod letters;

use crate::feed::Feed;
use crate::ports::restore_state::{RestoreChange, RestoreId, RestoreState, Unfinished};
use crate::timestamp::Timestamp;

/// An implementation that can be closed and opened again.
pub trait Reopen {
    /// What is put to the test.
    type State: RestoreState;

    /// The state as opened last.
    fn state(&self) -> &Self::State;

    /// Ends this start, in whatever way, and begins the next.
    #[must_use]
    fn reopen(self) -> Self;
}

/// Runs the suite; `make` makes an empty state at its first start.
pub async fn all<R: Reopen>(make: impl Fn() -> R) {
    checkpoints::a_restore_is_taken_up_until_it_is_finished(make()).await;
    checkpoints::a_restore_that_is_finished_takes_no_more_checkpoints(make()).await;
    checkpoints::without_a_restore_there_are_no_checkpoints(make()).await;
    checkpoints::restores_that_differ_in_anything_have_checkpoints_of_their_own(make()).await;
    checkpoints::from_the_start_drops_the_checkpoints_of_this_restore_only(make()).await;
    checkpoints::the_mark_of_a_lane_is_the_last_one(make()).await;
    checkpoints::lanes_are_found_by_what_their_names_begin_with(make()).await;
    checkpoints::a_bundle_of_another_size_or_time_or_feed_is_not_done(make()).await;
    checkpoints::a_bundle_that_is_done_twice_counts_once(make()).await;
    checkpoints::bundles_are_found_in_whatever_order_they_were_done(make()).await;
    checkpoints::bundles_of_the_same_instant_are_found(make()).await;
    checkpoints::bundles_done_at_once_all_count(make()).await;
    letters::letters_are_read_in_pages_by_store_and_key_and_event(make()).await;
    letters::a_letter_replaces_the_one_before_and_adds_to_its_attempts(make()).await;
    letters::the_event_of_a_letter_is_kept_byte_for_byte(make()).await;
    letters::a_letter_that_is_settled_is_gone_with_its_event(make()).await;
    letters::letters_outlive_their_restore(make()).await;
    letters::each_route_has_letters_of_its_own(make()).await;
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn feed(source: &str, action: &str) -> Feed {
    format!("{source}/binary/{action}").parse().expect("a feed")
}

fn id(selection: &str) -> RestoreId {
    RestoreId {
        bucket: "http://bucket:9000 azul-streams azul-events".to_owned(),
        target: "http://dispatcher:8111".to_owned(),
        selection: selection.to_owned(),
    }
}

async fn begin(state: &impl RestoreState, id: &RestoreId, now: i64) -> Unfinished {
    state.begin(id, false, at(now)).await.expect("a restore begins")
}

/// Records all of `changes`, one after the other.
async fn record(state: &impl RestoreState, changes: impl IntoIterator<Item = RestoreChange>) {
    for change in changes {
        state.record(change).await.expect("a change is recorded");
    }
}
