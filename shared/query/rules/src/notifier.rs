//! Sends notifications.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use http::{StatusCode, header::CONTENT_TYPE};
use reqwest::Client;

use crate::{
    NotifyTarget, RuleProgress, SentMark, TargetError, TargetOption,
    notification::{AlertMessage, AlertNotice},
    outgoing::outgoing_client,
};

/// Timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of alerts in a message.
const MAX_ALERTS_IN_MESSAGE: usize = 64;

/// Maximum number of alerts of which a target is told in one delivery. Further alerts are sent by the next one.
const MAX_ALERTS: usize = 2 * MAX_ALERTS_IN_MESSAGE;

/// Maximum number of messages to a target in one delivery: enough to find one alert that the target refuses, and to send the
/// others of its message. All of them together take at most 140 seconds; another process may take over the claim of the rules
/// 150 seconds after its renewal.
const MAX_MESSAGES: usize = 14;

/// The answers of a target that refuses a message because of its contents.
const REFUSALS: [StatusCode; 3] = [
    StatusCode::BAD_REQUEST,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNPROCESSABLE_ENTITY,
];

/// Notifications can't be sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    /// An option is no target.
    #[error("--notify-target: {0}")]
    Target(#[from] TargetError),
    /// The client for requests can't be created.
    #[error("the client of notifications can't be created: {0}")]
    Client(#[from] reqwest::Error),
}

/// The work of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The number of alerts that targets have acknowledged.
    pub acknowledged: usize,
    /// The targets that did not acknowledge a message, with the reasons. They are told again by a later delivery.
    pub failures: Vec<(String, String)>,
}

/// Sends notifications to the targets that the administrator has listed, and to no other address.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: Client,
    targets: Vec<NotifyTarget>,
}

impl Notifier {
    /// Creates a notifier to the targets of options; `None` if there are none.
    ///
    /// # Errors
    /// An option is no target, or the certificates of the system can't be read.
    pub fn from_options(options: &[TargetOption]) -> Result<Option<Arc<Self>>, NotifierError> {
        let targets: Vec<NotifyTarget> =
            options.iter().map(TargetOption::target).collect::<Result<_, _>>()?;
        if targets.is_empty() {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self::new(targets)?)))
    }

    /// Creates a notifier. Sends nothing.
    ///
    /// # Errors
    /// The certificates of the system can't be read.
    pub fn new(targets: Vec<NotifyTarget>) -> Result<Self, NotifierError> {
        Ok(Self { client: outgoing_client(TIMEOUT)?, targets })
    }

    /// Returns whether a target must be told of an alert.
    pub fn has_work(&self, progress: &RuleProgress, now_ms: i64) -> bool {
        let mut alerts = progress.alerts();
        alerts.any(|(_, alert)| self.targets.iter().any(|target| alert.is_due(target, now_ms)))
    }

    /// Tells targets of the alerts that they must be told of, and marks those that they acknowledge, to be committed.
    /// (Rule A3)
    pub async fn deliver(&self, progress: &mut RuleProgress, now_ms: i64) -> DeliveryReport {
        let sent = self.targets.iter().map(|target| {
            let alerts = progress.alerts().enumerate();
            let due = alerts.filter(|(_, (_, alert))| alert.is_due(target, now_ms));
            let notices = due
                .map(|(index, (interval, alert))| AlertNotice::new(index, alert, interval, now_ms));
            self.send_all(target, notices.take(MAX_ALERTS).collect())
        });
        let outcomes = join_all(sent).await;
        let mut delivery = DeliveryReport::default();
        for (target, (acknowledged, failure)) in self.targets.iter().zip(outcomes) {
            delivery.acknowledged += acknowledged.len();
            mark(progress, target, &acknowledged, now_ms);
            delivery.failures.extend(failure.map(|reason| (target.to_string(), reason)));
        }
        self.forget_former_targets(progress);
        delivery
    }

    /// Sends the notices to a target. Returns those that it acknowledged, in their order, and the reason why it did not
    /// acknowledge the others. A message that the target refuses is sent in two parts, because it may be too large, or one of
    /// its alerts may be the reason.
    async fn send_all(
        &self,
        target: &NotifyTarget,
        notices: Vec<AlertNotice>,
    ) -> (Vec<AlertNotice>, Option<String>) {
        let (mut acknowledged, mut failure) = (Vec::new(), None);
        let mut parts: Vec<&[AlertNotice]> = notices.chunks(MAX_ALERTS_IN_MESSAGE).rev().collect();
        for _ in 0..MAX_MESSAGES {
            let Some(part) = parts.pop() else {
                return (acknowledged, failure);
            };
            let status = match self.send(target, part).await {
                Ok(status) if status.is_success() => {
                    acknowledged.extend_from_slice(part);
                    continue;
                }
                Ok(status) => status,
                Err(reason) => return (acknowledged, Some(reason)),
            };
            if part.len() > 1 && REFUSALS.contains(&status) {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            } else {
                // The others are sent nevertheless.
                failure = Some(format!("it answers {status}"));
            }
        }
        if !parts.is_empty() {
            failure.get_or_insert_with(|| "it refuses too many messages".to_owned());
        }
        (acknowledged, failure)
    }

    async fn send(
        &self,
        target: &NotifyTarget,
        notices: &[AlertNotice],
    ) -> Result<StatusCode, String> {
        let message = AlertMessage::new(target.kind(), notices);
        let request = self
            .client
            .post(target.url().clone())
            .header(CONTENT_TYPE, message.content_type)
            .body(message.body);
        let titled = match message.title {
            Some(title) => request.header("title", title),
            None => request,
        };
        // The URL of an error may be secret.
        let response = titled.send().await.map_err(|error| error.without_url().to_string())?;
        Ok(response.status())
    }

    /// Removes the marks of targets that are no longer listed.
    fn forget_former_targets(&self, progress: &mut RuleProgress) {
        for alert in progress.alerts_mut() {
            alert.sent.retain(|id, _| self.targets.iter().any(|target| target.id() == id));
        }
    }
}

/// Marks the alerts that a target has acknowledged.
fn mark(
    progress: &mut RuleProgress,
    target: &NotifyTarget,
    acknowledged: &[AlertNotice],
    at_ms: i64,
) {
    let mut alerts = progress.alerts_mut().enumerate();
    for notice in acknowledged {
        // Both are in the order of the alerts.
        if let Some((_, alert)) = alerts.find(|(index, _)| *index == notice.index) {
            let resolved = !notice.is_firing;
            alert.sent.insert(target.id().to_owned(), SentMark { resolved, at_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    };

    use axum::{
        Router,
        extract::State,
        http::{HeaderMap, Uri},
        response::{IntoResponse, Response},
    };

    use super::*;
    use crate::{AlertUsage, GroupState, RuleContext, RuleResult, parse_file};

    #[derive(Default)]
    struct TestReceiver {
        status: AtomicU16,
        /// The number of requests that are refused before others get the status.
        refused: AtomicUsize,
        /// Requests with this text are refused.
        refused_text: Mutex<Option<String>>,
        requests: Mutex<Vec<(String, String)>>,
    }

    async fn receive(
        State(receiver): State<Arc<TestReceiver>>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> Response {
        let credential = headers.get("authorization").is_some();
        let line = format!("{uri} {credential}");
        let refused_text = receiver.refused_text.lock().unwrap();
        let is_refused = refused_text.as_ref().is_some_and(|text| body.contains(text));
        let mut requests = receiver.requests.lock().unwrap();
        requests.push((line, body));
        let status = if is_refused || requests.len() <= receiver.refused.load(Ordering::Relaxed) {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::from_u16(receiver.status.load(Ordering::Relaxed)).unwrap()
        };
        (status, [("location", "/elsewhere")]).into_response()
    }

    async fn start() -> (Arc<TestReceiver>, String) {
        let receiver = Arc::new(TestReceiver::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&receiver));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, address.to_string())
    }

    fn firing(count: usize) -> RuleProgress {
        let file = "groups: [{name: g, rules: [{alert: A, expr: up}]}]";
        let group = Arc::clone(&parse_file(file).unwrap()["g"]);
        let mut rules = GroupState::default().rules_of(&group);
        let context = RuleContext {
            rule: &group.rules[0],
            at_ms: 0,
            max_results: count,
            max_alerts: AlertUsage::MAX,
        };
        let results = (0..count).map(|job| RuleResult {
            labels: [("job".to_owned(), job.to_string())].into(),
            value: 1.0,
        });
        rules[0].evaluate(&context, results.collect()).unwrap();
        let mut progress = RuleProgress::default();
        let state = GroupState { rules, ..GroupState::default() };
        progress.set_group("n", "g", state);
        progress
    }

    fn notifier(targets: &[String]) -> Notifier {
        Notifier::new(targets.iter().map(|target| target.parse().unwrap()).collect()).unwrap()
    }

    #[tokio::test]
    async fn a_target_that_fails_is_told_again_until_it_acknowledges() {
        let (receiver, address) = start().await;
        let notifier = notifier(&[format!("webhook=http://user:secret@{address}/hook")]);
        let mut progress = firing(2);
        receiver.status.store(503, Ordering::Relaxed);
        let failed = notifier.deliver(&mut progress, 1).await;
        assert_eq!(failed.acknowledged, 0);
        let (target, reason) = &failed.failures[0];
        assert!(reason.contains("503") && !target.contains("secret"), "{failed:?}");
        assert!(notifier.has_work(&progress, 2));
        receiver.status.store(200, Ordering::Relaxed);
        let delivered = notifier.deliver(&mut progress, 2).await;
        assert_eq!((delivered.acknowledged, delivered.failures.len()), (2, 0));
        assert!(!notifier.has_work(&progress, 3));
        notifier.deliver(&mut progress, 3).await;
        let requests = receiver.requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].0, "/hook true");
        assert!(requests[1].1.contains(r#""status":"firing""#), "{}", requests[1].1);
    }

    #[tokio::test]
    async fn a_message_that_is_refused_is_sent_in_parts() {
        let (receiver, address) = start().await;
        let notifier = notifier(&[format!("webhook=http://{address}/hook")]);
        receiver.status.store(200, Ordering::Relaxed);
        receiver.refused.store(1, Ordering::Relaxed);
        let count = MAX_ALERTS_IN_MESSAGE + 3;
        let mut progress = firing(count);
        let delivery = notifier.deliver(&mut progress, 1).await;
        assert_eq!((delivery.acknowledged, delivery.failures.len()), (count, 0));
        assert_eq!(receiver.requests.lock().unwrap().len(), 4);
        assert!(!notifier.has_work(&progress, 2));
    }

    #[tokio::test]
    async fn an_alert_that_is_refused_does_not_keep_others_from_being_sent() {
        let (receiver, address) = start().await;
        let notifier = notifier(&[format!("webhook=http://{address}/hook")]);
        receiver.status.store(200, Ordering::Relaxed);
        *receiver.refused_text.lock().unwrap() = Some(r#""job":"13""#.to_owned());
        let count = MAX_ALERTS_IN_MESSAGE + 3;
        let mut progress = firing(count);
        let delivery = notifier.deliver(&mut progress, 1).await;
        assert_eq!((delivery.acknowledged, delivery.failures.len()), (count - 1, 1));
        let repeated = notifier.deliver(&mut progress, 2).await;
        assert_eq!((repeated.acknowledged, repeated.failures.len()), (0, 1));
        *receiver.refused_text.lock().unwrap() = None;
        let last = notifier.deliver(&mut progress, 3).await;
        assert_eq!((last.acknowledged, last.failures.len()), (1, 0));
        assert!(!notifier.has_work(&progress, 4));
    }

    #[tokio::test]
    async fn a_target_that_refuses_all_messages_gets_a_limited_number() {
        let (receiver, address) = start().await;
        let notifier = notifier(&[format!("webhook=http://{address}/hook")]);
        receiver.status.store(413, Ordering::Relaxed);
        let refused = notifier.deliver(&mut firing(100), 1).await;
        assert_eq!((refused.acknowledged, refused.failures.len()), (0, 1));
        assert_eq!(receiver.requests.lock().unwrap().len(), MAX_MESSAGES);
        receiver.requests.lock().unwrap().clear();
        receiver.status.store(404, Ordering::Relaxed);
        notifier.deliver(&mut firing(100), 1).await;
        assert_eq!(receiver.requests.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let (receiver, address) = start().await;
        let notifier = notifier(&[format!("ntfy=http://{address}/topic")]);
        receiver.status.store(307, Ordering::Relaxed);
        let failed = notifier.deliver(&mut firing(2), 1).await;
        assert!(failed.failures[0].1.contains("307"), "{failed:?}");
        assert_eq!(receiver.requests.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn one_target_that_fails_does_not_keep_others_from_being_told() {
        let (receiver, address) = start().await;
        receiver.status.store(200, Ordering::Relaxed);
        // Nothing listens on port 9 of this machine.
        let targets =
            ["slack=http://127.0.0.1:9/".to_owned(), format!("alertmanager=http://{address}")];
        let notifier = notifier(&targets);
        let mut progress = firing(2);
        let delivery = notifier.deliver(&mut progress, 1).await;
        assert_eq!((delivery.acknowledged, delivery.failures.len()), (2, 1));
        assert_eq!(receiver.requests.lock().unwrap()[0].0, "/api/v2/alerts false");
        let only_manager = self::notifier(&targets[1..]);
        assert!(!only_manager.has_work(&progress, 2));
        assert!(only_manager.has_work(&progress, 60_001), "Alertmanager forgets");
    }
}
