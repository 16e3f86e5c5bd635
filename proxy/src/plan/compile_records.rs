//! From `records` as written to the options of the way of records.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::ClientConfig;
use tollgate_config::{Diagnostics, Spanned};
use tollgate_proxy_config::{CollectorTls, KeyPair, Overflow, ProxyConfig, Records};
use tollgate_proxy_ship::{Collector, LinkOptions, QuarantineLimits, ShipOptions, SpoolLimits};
use tollgate_tls::{ClientPolicy, Identity, Roots, Rotating, ServerVerify, TlsVersions};

use super::compile::{identity, noted};
use super::compile_target::{server_name, target_parts};

/// Posts in flight to a collector.
const POSTS: RangeInclusive<usize> = 1..=64;
/// Levels of zstd.
const LEVELS: RangeInclusive<i32> = 1..=19;
/// Batches in the quarantine folder.
const QUARANTINE_BATCHES: RangeInclusive<usize> = 1..=1_000_000;
/// Files of the spool.
const SPOOL_FILES: RangeInclusive<usize> = 1..=10_000_000;

pub(super) fn records(config: &ProxyConfig, workers: usize, problems: &mut Diagnostics<'_>) -> Option<ShipOptions> {
    let records = &config.records;
    check(records, problems);
    let collectors = collectors(records, problems);
    let tls = match &records.tls {
        Some(tls) => Some(collector_tls(tls, problems)?),
        None if records.collectors.is_empty() => None,
        None => {
            problems.key("records.tls", "collectors need tls; name ca, certificate and key");
            None
        }
    };
    let link = tls.filter(|_| !collectors.is_empty()).map(|tls| LinkOptions {
        collectors,
        tls,
        post_timeout: records.post_timeout.0,
        failback_after: records.failback_after.0,
        connection_age_max: records.connection_age_max.0,
    });
    Some(ShipOptions {
        node_id: config.node_id.value.clone(),
        workers,
        ring_bytes_max: records.ring_bytes_max.0,
        block_when_full: records.overflow == Overflow::Block,
        posts_in_flight_max: records.posts_in_flight_max.value,
        backoff_min: records.backoff_min.0,
        backoff_max: records.backoff_max.0,
        link,
        spool: records.spool.as_ref().map(|spool| {
            let limits = SpoolLimits { bytes_max: spool.bytes_max.0, files_max: spool.files_max.value };
            (spool.dir.to_path_buf(), limits)
        }),
        quarantine: records.quarantine_dir.as_ref().map(|dir| {
            let (bytes_max, batches_max) = (records.quarantine_bytes_max.0, records.quarantine_batches_max.value);
            (dir.to_path_buf(), QuarantineLimits { bytes_max, batches_max })
        }),
    })
}

fn check(records: &Records, problems: &mut Diagnostics<'_>) {
    bounded(&records.batch_records_max, 1..=tollgate_record::ROWS_MAX, problems);
    bounded(&records.posts_in_flight_max, POSTS, problems);
    if !LEVELS.contains(&records.compression_level.value) {
        problems.at(&records.compression_level, "a zstd level is 1 to 19; write 1 unless bandwidth is scarce");
    }
    if records.enabled && records.collectors.is_empty() && records.spool.is_none() {
        problems.key("records", "records have nowhere to go; name a collector, or a spool folder, or both");
    }
    bounded(&records.quarantine_batches_max, QUARANTINE_BATCHES, problems);
    if let Some(spool) = &records.spool {
        bounded(&spool.files_max, SPOOL_FILES, problems);
    }
}

fn collectors(records: &Records, problems: &mut Diagnostics<'_>) -> Vec<Collector> {
    let mut collectors = Vec::new();
    let name = records.tls.as_ref().and_then(|tls| tls.server_name.as_ref());
    for text in &records.collectors {
        let Some((https, host, port)) = noted(text, target_parts(text), problems) else { continue };
        if !https {
            problems.at(text, "a collector is reached over mutual TLS only; write https://host:port");
        }
        let server_name = server_name(name.map_or(&host, |name| &name.value));
        if let Some(server_name) = noted(name.unwrap_or(text), server_name, problems) {
            collectors.push(Collector { authority: format!("{host}:{port}"), server_name });
        }
    }
    collectors
}

/// Builds TLS towards the collectors, which follows its files.
fn collector_tls(tls: &CollectorTls, problems: &mut Diagnostics<'_>) -> Option<Arc<Rotating<ClientConfig>>> {
    // Each file by itself first, so that an error names its key.
    noted(&tls.ca, Roots::load(&tls.ca), problems)?;
    let pair = KeyPair { certificate: tls.certificate.clone(), key: tls.key.clone() };
    identity(&pair, problems)?;
    let [ca, certificate, key] = [&tls.ca, &tls.certificate, &tls.key].map(|file| file.to_path_buf());
    let files = vec![ca.clone(), certificate.clone(), key.clone()];
    let build = move || {
        let (roots, identity) = (Roots::load(&ca)?, Some(Identity::load(&certificate, &key)?));
        let (alpn, versions, verify) = (vec!["h2".to_owned()], TlsVersions::Tls13Only, ServerVerify::Full);
        ClientPolicy { roots, identity, alpn, versions, verify }.config()
    };
    noted(&tls.ca, Rotating::new(files, build), problems).map(Arc::new)
}

fn bounded(value: &Spanned<usize>, range: RangeInclusive<usize>, problems: &mut Diagnostics<'_>) {
    if !range.contains(&value.value) {
        problems.at(value, format!("must be {} to {}; leave it out for the default", range.start(), range.end()));
    }
}
