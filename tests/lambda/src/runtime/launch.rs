//! Start of an instance, and cleanup after its end.

use std::{
    fs::{File, create_dir_all},
    io,
    net::{Ipv4Addr, TcpListener as BlockingListener},
    process::Stdio,
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    task::JoinHandle,
};

use super::{
    LocalFunction,
    account::REGION,
    api,
    invocation::{InvocationFailure, InvocationFailureKind},
    state::{FunctionInstance, FunctionState},
};
use crate::world;

impl LocalFunction {
    /// Starts another instance and returns its number.
    pub(super) fn launch(self: &Arc<Self>, state: &mut FunctionState) -> io::Result<u32> {
        let listener = BlockingListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let number = state.started + 1;
        let child = self.command(number, port)?.spawn()?;
        state.started = number;
        let pid = child
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
            .ok_or_else(|| io::Error::other("the process has no id"))?;
        let instance = FunctionInstance::new(pid, port, world::now());
        state.instances.insert(number, instance);
        let listener = TcpListener::from_std(listener)?;
        let service = api::routes(Arc::clone(self), number);
        let server = tokio::spawn(async move {
            // Runs until it is aborted.
            axum::serve(listener, service).await.ok();
        });
        tokio::spawn(Arc::clone(self).watch(number, child, pid, server));
        tokio::spawn(Arc::clone(self).watch_init(number));
        Ok(number)
    }

    fn command(&self, number: u32, port: u16) -> io::Result<Command> {
        let logs = self.folder.join("logs");
        let temporary = self.folder.join(format!("tmp/{}-{number}", self.name));
        create_dir_all(&logs)?;
        create_dir_all(&temporary)?;
        let log = File::create(self.log_of(number))?;
        let limits = &self.settings.limits;
        let memory = limits.memory_mib.to_string();
        let runtime_api = format!("127.0.0.1:{port}");
        let log_group = format!("/aws/lambda/{}", self.name);
        let mut command = Command::new(&self.settings.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TMPDIR", &temporary)
            .env("AWS_LAMBDA_RUNTIME_API", &runtime_api)
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory)
            .env("AWS_LAMBDA_LOG_GROUP_NAME", &log_group)
            .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("instance-{number}"))
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", &self.identity.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.identity.secret_key)
            .env("LAMBDA_TASK_ROOT", &temporary)
            .env("_HANDLER", "bootstrap")
            .env("TZ", ":UTC");
        if limits.concurrency > 1 {
            let concurrency = limits.concurrency.to_string();
            command.env("AWS_LAMBDA_MAX_CONCURRENCY", concurrency);
        }
        command
            .envs(&self.environment)
            .current_dir(&temporary)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(command)
    }

    /// Waits until an instance has ended, and fails its unanswered events.
    async fn watch(
        self: Arc<Self>,
        number: u32,
        mut child: Child,
        pid: Pid,
        server: JoinHandle<()>,
    ) {
        let status = child.wait().await;
        // Lambda's sandbox ends all processes that the program has left behind.
        kill_process_group(pid, Signal::KILL).ok();
        server.abort();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let mut state = self.state();
        let Some(mut instance) = state.instances.remove(&number) else {
            return;
        };
        let failure = instance.ending.take().unwrap_or_else(|| {
            let kind = match instance.init {
                Some(_) => InvocationFailureKind::Exited,
                None => InvocationFailureKind::InitFailed,
            };
            InvocationFailure::new(kind, format!("Runtime exited with error: {status}"))
        });
        instance.fail_all(&failure);
        self.assign_waiting(&mut state);
    }

    /// Kills an instance that does not become ready in time.
    async fn watch_init(self: Arc<Self>, number: u32) {
        world::sleep(self.settings.limits.init()).await;
        if let Some(instance) = self.state().instances.get_mut(&number)
            && instance.init.is_none()
        {
            let message = "the instance did not ask for an event in time";
            instance.kill(InvocationFailure::new(InvocationFailureKind::InitFailed, message));
        }
    }
}
