//! The matrix: every fault × every operation, and what is expected of each. Data only.
//!
//! A cell that makes no sense says by which [`Rule`].

use super::course::Course;
use crate::proxy::{Fault, Operation, Reply, Spot};

/// Why there is no cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The answer has no body that could be spoiled.
    NoBody,
    /// The request has no body.
    NoRequestBody,
    /// The server does nothing that could be lost; it is the same as a fault of an unsent request.
    NoEffect,
    /// The answer is no multipart.
    NoMultipart,
    /// A closed port is met by the first request of a start, whatever it is.
    NotFirst,
    /// It is what a success looks like.
    Success,
    /// It is the same as another cell of the operation.
    Same,
    /// Without a checksum in the protocol nothing can be expected that does not hold without the fault.
    NoChecksum,
    /// It lasts too long to be waited for, and no longer than a reset, for the same course.
    TooLong,
}

impl Rule {
    /// Why, in words.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoBody => "the answer has no body",
            Self::NoRequestBody => "the request has no body",
            Self::NoEffect => "the server does nothing that could be lost",
            Self::NoMultipart => "the answer is no multipart",
            Self::NotFirst => "a closed port is met by the first request of a start",
            Self::Success => "a success looks so",
            Self::Same => "the same as another cell",
            Self::NoChecksum => "nothing in the protocol tells",
            Self::TooLong => "takes the course of a reset, only longer",
        }
    }
}

/// One place of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This is to be seen.
    Run(Course),
    /// There is nothing to be seen.
    Out(Rule),
}

/// The places of one fault, in the order of [`Operation::ALL`].
pub type Row = (Fault, [Place; Operation::ALL.len()]);

macro_rules! places {
    ($($short:ident = $place:expr;)+) => {
        $(
            #[allow(non_upper_case_globals, reason = "what is left out shall not look like what is run")]
            const $short: Place = $place;
        )+
    };
}

places! {
    UN = Place::Run(Course::Unnoticed);
    UU = Place::Run(Course::BelievedLeavingUpload);
    RE = Place::Run(Course::Retried);
    RU = Place::Run(Course::RetriedInDoubt);
    SL = Place::Run(Course::StreamLater);
    SU = Place::Run(Course::StreamLaterInDoubt);
    BL = Place::Run(Course::BundleLater);
    BS = Place::Run(Course::BundleAtStop);
    DL = Place::Run(Course::DropLater);
    LL = Place::Run(Course::ListLater);
    AB = Place::Run(Course::Abandoned);
    AW = Place::Run(Course::AnyWay);
    EN = Place::Run(Course::Ends);
    NS = Place::Run(Course::NotStarted);
    PR = Place::Run(Course::PullRefused);
    P8 = Place::Run(Course::PullsRefused);
    PS = Place::Run(Course::PullSuspect);
    S8 = Place::Run(Course::PullsSuspect);
    PL = Place::Run(Course::PullLost);
    L8 = Place::Run(Course::PullsLost);
    PC = Place::Run(Course::PullCut);
    PA = Place::Run(Course::PutAside);
    A8 = Place::Run(Course::PutAsides);
    LA = Place::Run(Course::LostAside);
    ER = Place::Run(Course::EventAsReceived);
    BR = Place::Run(Course::BulkAsReceived);
    M1 = Place::Run(Course::OneMissing);
    MA = Place::Run(Course::AllMissing);
    nb = Place::Out(Rule::NoBody);
    nr = Place::Out(Rule::NoRequestBody);
    ne = Place::Out(Rule::NoEffect);
    nm = Place::Out(Rule::NoMultipart);
    nf = Place::Out(Rule::NotFirst);
    ok = Place::Out(Rule::Success);
    eq = Place::Out(Rule::Same);
    nc = Place::Out(Rule::NoChecksum);
    tl = Place::Out(Rule::TooLong);
}

/// The first request of an operation meets the fault, and no other.
#[rustfmt::skip]
pub const ONCE: &[Row] = &[
    //                                      pull down put  begin part compl abort bundle head headB headBu create list
    (Fault::Refused,                       [PR,  RE,  nf,  nf,  nf,  nf,  nf,  nf,  nf,  nf,  RE,  nf,  nf]),
    (Fault::ResetUnsent,                   [PS,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE]),
    (Fault::HangUnsent,                    [PS,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  LL]),
    (Fault::ResetInRequest,                [nr,  nr,  RE,  nr,  RE,  RE,  nr,  RE,  nr,  nr,  nr,  nr,  nr]),
    (Fault::FlipInRequest,                 [nr,  nr,  RE,  nr,  RE,  RE,  nr,  RE,  nr,  nr,  nr,  nr,  nr]),
    (Fault::Answer(Reply::Own(500)),       [PS,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  LL]),
    (Fault::Answer(Reply::Own(503)),       [PS,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  LL]),
    (Fault::Answer(Reply::Own(429)),       [PR,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  RE,  LL]),
    (Fault::Answer(Reply::Own(403)),       [PR,  SL,  SL,  SL,  SL,  SL,  DL,  BS,  UN,  UN,  NS,  NS,  LL]),
    (Fault::Answer(Reply::Json(404)),      [PR,  M1,  RE,  RU,  RE,  RE,  RE,  RE,  eq,  eq,  eq,  RE,  LL]),
    (Fault::Answer(Reply::Xml(404)),       [PR,  RE,  SL,  SL,  RE,  RE,  UU,  BS,  UN,  UN,  RE,  NS,  LL]),
    (Fault::Answer(Reply::Html(404)),      [PR,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  eq,  eq,  eq,  RE,  LL]),
    (Fault::Answer(Reply::Page),           [PA,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  RE,  RE,  UN,  RE,  LL]),
    (Fault::Answer(Reply::TaggedPage),     [eq,  eq,  RE,  eq,  RE,  eq,  eq,  RE,  RE,  RE,  eq,  eq,  eq]),
    (Fault::Answer(Reply::ErrorInside),    [PA,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  nb,  nb,  nb,  RE,  LL]),
    (Fault::Answer(Reply::Text),           [PA,  RE,  RE,  RU,  RE,  RE,  RE,  RE,  nb,  nb,  nb,  RE,  LL]),
    (Fault::Answer(Reply::Empty),          [PA,  RE,  RE,  RU,  RE,  RE,  ok,  RE,  RE,  RE,  ok,  RE,  LL]),
    (Fault::ResetUnanswered,               [PL,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  ne,  ne,  ne,  RE,  ne]),
    (Fault::HangUnanswered,                [PL,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  ne,  ne,  ne,  RE,  ne]),
    (Fault::AwayUnanswered,                [PL,  ne,  RE,  RU,  RE,  RE,  RE,  RE,  ne,  ne,  ne,  RE,  ne]),
    (Fault::AnswerInstead(Reply::Own(500)),[PL,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  ne,  ne,  ne,  RE,  ne]),
    (Fault::AnswerInstead(Reply::Page),    [LA,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  ne,  ne,  ne,  UN,  ne]),
    (Fault::AnswerInstead(Reply::ErrorInside),[LA,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  nb,  nb,  nb,  UN,  ne]),
    (Fault::AnswerInstead(Reply::Text),    [LA,  ne,  RE,  RU,  RE,  UN,  RE,  RE,  nb,  nb,  nb,  RE,  ne]),
    (Fault::AnswerInstead(Reply::Empty),   [LA,  ne,  RE,  RU,  RE,  UN,  ok,  RE,  ne,  ne,  ne,  ok,  ne]),
    (Fault::ResetInHead,                   [PL,  RE,  RE,  RU,  RE,  UN,  RE,  RE,  RE,  RE,  RE,  RE,  RE]),
    (Fault::DripHead,                      [PL,  RE,  RE,  tl,  RE,  tl,  RE,  RE,  RE,  RE,  RE,  RE,  LL]),
    (Fault::ResetInBody,                   [PL,  RE,  nb,  RU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  LL]),
    (Fault::ResetAfterBody,                [PR,  UN,  UN,  UN,  UN,  UN,  UN,  UN,  UN,  UN,  UN,  UN,  UN]),
    (Fault::HangInBody,                    [PL,  RE,  nb,  RU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  LL]),
    (Fault::DripBody(10),                  [PR,  UN,  nb,  UN,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  UN]),
    (Fault::CutByLength,                   [PL,  RE,  nb,  RU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  LL]),
    (Fault::CutChunked,                    [PL,  RE,  nb,  RU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  LL]),
    (Fault::CutShorter,                    [LA,  RE,  nb,  RU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  LL]),
    (Fault::Flip(Spot::Middle),            [nc,  RE,  nb,  AW,  nb,  AW,  nb,  nb,  nb,  nb,  nb,  nb,  nc]),
    (Fault::Flip(Spot::Boundary),          [LA,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
    (Fault::Flip(Spot::Bulk(0, 1)),        [BR,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
    (Fault::Flip(Spot::Bulk(1, 4)),        [BR,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
    (Fault::Flip(Spot::Text(super::MARKER)),[ER,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
    (Fault::WrongBoundary,                 [PR,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
    (Fault::WrongBoundaryChunked,          [PL,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm,  nm]),
];

/// Every request of the operation meets the fault, for as long as the first start runs. Where the course is that of a
/// single fault, there is no row.
#[rustfmt::skip]
pub const FOR_EVER: &[Row] = &[
    //                                      pull down put  begin part compl abort bundle head headB headBu create list
    (Fault::Refused,                       [P8,  EN,  nf,  nf,  nf,  nf,  nf,  nf,  nf,  nf,  NS,  nf,  nf]),
    (Fault::ResetUnsent,                   [S8,  EN,  EN,  SU,  SL,  SL,  DL,  BL,  EN,  BL,  NS,  NS,  LL]),
    (Fault::HangUnsent,                    [S8,  EN,  EN,  tl,  SL,  tl,  tl,  BL,  EN,  BL,  NS,  NS,  eq]),
    (Fault::FlipInRequest,                 [nr,  nr,  EN,  nr,  SL,  SL,  nr,  BL,  nr,  nr,  nr,  nr,  nr]),
    (Fault::Answer(Reply::Own(500)),       [S8,  EN,  EN,  SU,  SL,  SL,  DL,  BL,  EN,  BL,  NS,  NS,  eq]),
    (Fault::Answer(Reply::Own(503)),       [S8,  EN,  EN,  SU,  SL,  SL,  DL,  BL,  EN,  BL,  NS,  NS,  eq]),
    (Fault::Answer(Reply::Own(429)),       [P8,  EN,  EN,  SU,  SL,  SL,  DL,  BL,  EN,  BL,  NS,  NS,  eq]),
    (Fault::Answer(Reply::Own(403)),       [P8,  SL,  SL,  SL,  SL,  SL,  DL,  BL,  UN,  UN,  NS,  NS,  eq]),
    (Fault::Answer(Reply::Json(404)),      [P8,  MA,  EN,  SU,  SL,  SL,  DL,  BL,  eq,  eq,  eq,  NS,  eq]),
    (Fault::Answer(Reply::Html(404)),      [P8,  EN,  EN,  SU,  SL,  SL,  DL,  BL,  eq,  eq,  eq,  NS,  eq]),
    (Fault::Answer(Reply::Page),           [A8,  SL,  EN,  SU,  SL,  SL,  DL,  BL,  EN,  BL,  UN,  NS,  eq]),
    (Fault::Answer(Reply::ErrorInside),    [A8,  SL,  EN,  SU,  SL,  SL,  DL,  BL,  nb,  nb,  nb,  NS,  eq]),
    (Fault::ResetUnanswered,               [L8,  ne,  EN,  SU,  SL,  UN,  DL,  BL,  ne,  ne,  ne,  UN,  ne]),
    (Fault::AnswerInstead(Reply::Empty),   [LA,  ne,  EN,  SU,  SL,  UN,  ok,  BL,  ne,  ne,  ne,  ok,  ne]),
    (Fault::CutShorter,                    [LA,  SL,  nb,  SU,  nb,  UN,  nb,  nb,  nb,  nb,  nb,  nb,  eq]),
    (Fault::Flip(Spot::Middle),            [nc,  SL,  nb,  AW,  nb,  AW,  nb,  nb,  nb,  nb,  nb,  nb,  eq]),
    (Fault::DripBody(usize::MAX),          [PC,  AB,  nb,  tl,  nb,  tl,  nb,  nb,  nb,  nb,  nb,  nb,  eq]),
];
