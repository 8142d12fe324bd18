//! Answers of any bytes: how one is cut into chunks makes no difference to what is found in it.

#![no_main]

use azul_backup_actors::pull_answer::{AnswerFault, MultipartScanner, PullParts};

fn scan<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Result<PullParts, AnswerFault> {
    let mut scanner = MultipartScanner::new();
    chunks.for_each(|chunk| scanner.push(chunk));
    scanner.finish()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((size, body)) = input.split_first() else {
        return;
    };
    let whole = scan(std::iter::once(body));
    if let Ok(parts) = &whole {
        assert!(parts.events.start <= parts.events.end);
        assert!(parts.events.end <= body.len() as u64);
    }
    let cut = scan(body.chunks(usize::from(*size).max(1)));
    match (whole, cut) {
        // Where a fault is noticed depends on how much was looked at; that there is one does not.
        (Err(_), Err(_)) => (),
        (whole, cut) => assert_eq!(whole, cut),
    }
});
