//! Events and bulks of any bytes: the walk against apache-avro, and bundles against the bulks they are made of.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| azul_backup_actors::avro::differential::check(input));
