//! The whole emulator.

use std::{collections::BTreeMap, io, net::Ipv4Addr, sync::Arc};

use axum::Router;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Configuration,
    configuration::NotificationSettings,
    control::{self, ControlState},
    deployment::Deployment,
    events::{Notifications, Queue, queue::queues, schedules, sqs::path_of},
    gateway::{Gateway, GatewayRoutes},
    invocations::FunctionInvocations,
    runtime::LocalFunction,
    store::LocalStore,
};

/// A running emulator: the S3 server, the functions, and the sources of their events.
#[derive(Debug)]
pub struct Emulator {
    store: LocalStore,
    functions: BTreeMap<String, Arc<LocalFunction>>,
    gateway: String,
    control: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Emulator {
    /// Starts the emulator. Instances are started by events.
    ///
    /// # Errors
    /// A port or directory can't be used, or the configuration refers to something that does not exist.
    pub async fn start(configuration: Configuration) -> io::Result<Self> {
        let deployment = Deployment::read()?;
        let mut store = LocalStore::start(&configuration, &deployment).await?;
        let control_listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, configuration.control_port)).await?;
        let control = url(&control_listener)?;
        let gateway_listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, configuration.gateway.port)).await?;
        let gateway_url = url(&gateway_listener)?;

        let functions = functions(&configuration, &store, &control);
        let queues = queues(&configuration.queues).map_err(io::Error::other)?;
        let mut tasks = Vec::new();
        for (name, queue) in &queues {
            let settings = configuration.queues.get(name);
            if let Some(function) = settings.and_then(|settings| settings.function.as_ref()) {
                let function = Arc::clone(find_function(&functions, function)?);
                tasks.push(tokio::spawn(Arc::clone(queue).feed(function)));
            }
        }
        for schedule in configuration.schedules {
            let function = Arc::clone(find_function(&functions, &schedule.function)?);
            tasks.push(tokio::spawn(schedules::run(schedule, function)));
        }
        let notifications = match &configuration.notifications {
            None => None,
            Some(settings) => {
                let (notifications, task) = notify(settings, &functions, &queues, &mut store)?;
                tasks.extend(task);
                Some(notifications)
            }
        };
        let gateway = Gateway::new(
            configuration.gateway.event,
            configuration.gateway.streaming,
            GatewayRoutes::from_deployment(&deployment),
            functions.clone(),
        );
        tasks.push(serve(gateway_listener, gateway.routes()));
        let interface = ControlState {
            functions: functions.clone(),
            queues,
            notifications,
            journal: Arc::clone(&store.journal),
            invocations: Arc::new(invocations(&store)),
        };
        tasks.push(serve(control_listener, control::routes(interface)));
        Ok(Self { store, functions, gateway: gateway_url, control, tasks })
    }

    /// Returns the URL of the gateway, for clients.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// Returns the URL of the control interface, for tests.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Returns the URL of the S3 server.
    pub fn store(&self) -> String {
        self.store.server.endpoint()
    }

    /// Returns the bucket.
    pub fn bucket(&self) -> &str {
        self.store.server.bucket()
    }

    /// Kills all instances and stops the emulator.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        for function in self.functions.values() {
            function.close().await;
        }
    }
}

fn url(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn serve(listener: TcpListener, routes: Router) -> JoinHandle<()> {
    tokio::spawn(async move {
        // Runs until it is aborted.
        axum::serve(listener, routes).await.ok();
    })
}

fn find_function<'a>(
    functions: &'a BTreeMap<String, Arc<LocalFunction>>,
    name: &str,
) -> io::Result<&'a Arc<LocalFunction>> {
    let found = functions.get(name);
    found.ok_or_else(|| io::Error::other(format!("there is no function {name}")))
}

fn functions(
    configuration: &Configuration,
    store: &LocalStore,
    control: &str,
) -> BTreeMap<String, Arc<LocalFunction>> {
    let functions = configuration.functions.iter().filter_map(|(name, settings)| {
        let identity = store.identities.get(name)?.clone();
        let environment = settings.environment.iter().map(|(variable, value)| {
            (variable.clone(), expand_placeholders(value, store, control))
        });
        let function = LocalFunction::new(
            name.clone(),
            settings.clone(),
            environment.collect(),
            identity,
            configuration.folder.clone(),
        );
        Some((name.clone(), function))
    });
    functions.collect()
}

/// Returns the permissions of the functions to invoke each other.
fn invocations(store: &LocalStore) -> FunctionInvocations {
    let functions = store.identities.iter().map(|(name, identity)| {
        let policy = store.policies.get(name).cloned().flatten();
        (name.as_str(), identity.access_key.as_str(), policy)
    });
    FunctionInvocations::new(functions)
}

/// Replaces the placeholders in the value of an environment variable.
fn expand_placeholders(value: &str, store: &LocalStore, control: &str) -> String {
    let mut value = value
        .replace("${STORE_ENDPOINT}", &store.server.endpoint())
        .replace("${LAMBDA_ENDPOINT}", control)
        .replace("${BUCKET}", store.server.bucket());
    const QUEUE: &str = "${QUEUE_URL:";
    while let Some((before, rest)) = value.split_once(QUEUE) {
        let (name, after) = rest.split_once('}').unwrap_or((rest, ""));
        value = format!("{before}{control}{}{after}", path_of(name));
    }
    value
}

type NotificationsHandle = (Arc<Notifications>, Option<JoinHandle<()>>);

fn notify(
    settings: &NotificationSettings,
    functions: &BTreeMap<String, Arc<LocalFunction>>,
    queues: &BTreeMap<String, Arc<Queue>>,
    store: &mut LocalStore,
) -> io::Result<NotificationsHandle> {
    let notifications =
        Notifications::new(settings, functions, queues).map_err(io::Error::other)?;
    let puts = store.puts.take();
    let task = puts.map(|puts| tokio::spawn(Arc::clone(&notifications).run(puts)));
    Ok((notifications, task))
}
