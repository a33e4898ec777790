//! The bounds of a pipeline: a queue before it, a limit for each export, and counts of what is lost.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::metrics::Meter;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{BatchLogProcessor, LogBatch, LogExporter, LogProcessor, SdkLogRecord};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tokio::runtime::Handle;

/// Spans, and records of the log, that may wait for a collector: some seconds of a busy node, about 4 MiB. What
/// comes when the queue is full is dropped and counted.
pub(super) const QUEUE: usize = 4096;

/// Longest export. One that takes longer is given up, and what it carried is lost.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// A signal on its way out, and what became of it.
#[derive(Debug)]
pub(super) struct Signal {
    name: &'static str,
    /// Times the limit: exporting threads are not the runtime's.
    runtime: Handle,
    waiting: AtomicUsize,
    dropped: AtomicU64,
    exports: AtomicU64,
    failures: AtomicU64,
    /// What failed exports carried.
    lost: AtomicU64,
    /// The last export failed.
    fails: AtomicBool,
}

/// All signals of a node.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses(Arc<Mutex<Vec<Arc<Signal>>>>);

impl Losses {
    pub(super) fn of(&self, name: &'static str, runtime: Handle) -> Arc<Signal> {
        let signal = Arc::new(Signal {
            name,
            runtime,
            waiting: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            exports: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            fails: AtomicBool::new(false),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(signal.clone());
        signal
    }

    fn each(&self, mut tell: impl FnMut(&Signal)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|signal| tell(signal));
    }

    /// Makes the instruments that tell of losses.
    pub(super) fn count_with(&self, meter: &Meter) {
        let labels = |signal: &Signal, key: &'static str, value: &'static str| {
            [KeyValue::new("signal", signal.name), KeyValue::new(key, value)]
        };
        let losses = self.clone();
        meter
            .u64_observable_counter("understudy.telemetry.lost")
            .with_unit("{item}")
            .with_description("Spans and log records that reached no collector.")
            .with_callback(move |observer| {
                losses.each(|signal| {
                    observer.observe(signal.dropped.load(Relaxed), &labels(signal, "why", "queue_full"));
                    observer.observe(signal.lost.load(Relaxed), &labels(signal, "why", "export_failed"));
                });
            })
            .build();
        let losses = self.clone();
        meter
            .u64_observable_counter("understudy.telemetry.exports")
            .with_unit("{export}")
            .with_description("Exports to a collector.")
            .with_callback(move |observer| {
                losses.each(|signal| {
                    observer.observe(signal.exports.load(Relaxed), &labels(signal, "outcome", "ok"));
                    observer.observe(signal.failures.load(Relaxed), &labels(signal, "outcome", "failed"));
                });
            })
            .build();
    }
}

impl Signal {
    /// Whether one more may wait. If so, it counts as waiting until its export begins.
    fn admits(&self) -> bool {
        let admitted = self.waiting.fetch_update(Relaxed, Relaxed, |n| (n < QUEUE).then_some(n + 1)).is_ok();
        self.dropped.fetch_add(u64::from(!admitted), Relaxed);
        admitted
    }

    /// An export of `items` things that waited.
    async fn export(&self, items: usize, export: impl Future<Output = OTelSdkResult>) -> OTelSdkResult {
        self.waiting.fetch_sub(items, Relaxed);
        let limit = {
            let _timers = self.runtime.enter();
            tokio::time::sleep(LIMIT)
        };
        let result = tokio::select! {
            result = export => result,
            () = limit => Err(OTelSdkError::Timeout(LIMIT)),
        };
        self.note(items, &result);
        result
    }

    /// Counts, and says so once when exports begin to fail and once when they work again.
    fn note(&self, items: usize, result: &OTelSdkResult) {
        let failed = self.fails.swap(result.is_err(), Relaxed);
        match result {
            Ok(()) => {
                self.exports.fetch_add(1, Relaxed);
                if failed {
                    tracing::info!(signal = self.name, "exports reach the collector again");
                }
            }
            Err(error) => {
                self.failures.fetch_add(1, Relaxed);
                self.lost.fetch_add(items as u64, Relaxed);
                if !failed {
                    tracing::warn!(signal = self.name, %error, "exports do not reach the collector");
                }
            }
        }
    }
}

/// An exporter whose exports have a limit.
#[derive(Debug)]
pub(super) struct Limited<E> {
    inner: E,
    signal: Arc<Signal>,
}

impl<E> Limited<E> {
    pub(super) fn new(inner: E, signal: Arc<Signal>) -> Self {
        Self { inner, signal }
    }
}

impl<E: SpanExporter> SpanExporter for Limited<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.signal.export(batch.len(), self.inner.export(batch)).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Limited<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        self.signal.export(items, self.inner.export(batch)).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Limited<E> {
    /// Metrics do not queue: each export carries all of them.
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.signal.export(0, self.inner.export(metrics)).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

/// Spans on their way to the exporting thread.
#[derive(Debug)]
pub(super) struct GatedSpans {
    inner: BatchSpanProcessor,
    signal: Arc<Signal>,
}

impl GatedSpans {
    pub(super) fn new(inner: BatchSpanProcessor, signal: Arc<Signal>) -> Self {
        Self { inner, signal }
    }
}

impl SpanProcessor for GatedSpans {
    fn on_start(&self, span: &mut Span, cx: &Context) {
        self.inner.on_start(span, cx);
    }

    fn on_end(&self, span: SpanData) {
        if self.signal.admits() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Records of the log, likewise.
#[derive(Debug)]
pub(super) struct GatedLogs {
    inner: BatchLogProcessor,
    signal: Arc<Signal>,
}

impl GatedLogs {
    pub(super) fn new(inner: BatchLogProcessor, signal: Arc<Signal>) -> Self {
        Self { inner, signal }
    }
}

impl LogProcessor for GatedLogs {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.signal.admits() {
            self.inner.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_and_a_stuck_export_ends_in_time() {
        let signal = Losses::default().of("traces", Handle::current());
        let admitted = (0..QUEUE + 7).filter(|_| signal.admits()).count();
        assert_eq!((admitted, signal.dropped.load(Relaxed)), (QUEUE, 7));

        let begun = tokio::time::Instant::now();
        let stuck = signal.export(100, std::future::pending()).await;
        assert!(matches!(stuck, Err(OTelSdkError::Timeout(_))));
        assert_eq!((begun.elapsed(), signal.lost.load(Relaxed)), (LIMIT, 100));
        assert!(signal.admits(), "what was being exported waits no more");
    }
}
