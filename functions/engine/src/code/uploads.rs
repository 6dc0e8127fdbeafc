//! Uploaded plugins, and updates of the code of triggers.
//!
//! The uploads form one tree of files, like a plugin folder: `one.py` is a plugin, and `pack/sub/x.py` a file of the
//! plugin `pack`. A trigger may name any file or package of the tree.

use std::{sync::Arc, time::Duration};

use neap_catalog::{ANY_AGE, CatalogError, PluginEntry, Trigger};
use neap_schema::DatabaseId;

use super::{
    PluginCodeError, PluginCodeStore, PluginSource, PluginSourceFile, files::INIT, name_on_disk,
    object, path::PluginPath,
};

/// Maximum attempts of an upload when concurrent uploads win.
const MAX_ATTEMPTS: usize = 10;

impl PluginCodeStore {
    /// Returns the uploaded plugin at a path; `None` if there is no upload of that name.
    pub(super) async fn uploaded(
        &self,
        path: &PluginPath,
    ) -> Result<Option<PluginSource>, PluginCodeError> {
        let (first, rest) = path.split_first();
        let Some((_, files)) = self.upload_of(first).await? else {
            return Ok(None);
        };
        let plugin = match rest {
            None => Some(files),
            Some(_) if !files.is_package() => None,
            Some(rest) => files.below(rest),
        }
        .ok_or_else(|| PluginCodeError::NotFound(path.as_str().to_owned()))?;
        plugin.entry_point(path.as_str()).map(Some)
    }

    pub(super) async fn upload_of(
        &self,
        name: &str,
    ) -> Result<Option<(PluginEntry, PluginSource)>, PluginCodeError> {
        let root = self.catalog.root(Duration::ZERO).await?;
        let Some(entry) = root.value.plugins().get(name).cloned() else {
            return Ok(None);
        };
        let files = object::read(self.catalog.bucket(), entry.code).await?;
        Ok(Some((entry, files)))
    }

    /// Uploads a file: a plugin of its own, or a file of a package if its path has a folder. It replaces an earlier
    /// upload to the same path. Triggers keep their current code.
    ///
    /// # Errors
    /// `FolderOnly`, `PathTraversal`; `Invalid` if the plugin becomes too large, or a path is both a file and a folder;
    /// the errors of putting the code and of a catalog commit.
    pub async fn upload(&self, path: &str, content: &str) -> Result<(), PluginCodeError> {
        self.require_other_sources()?;
        let path = PluginPath::parse(path)?;
        let (name, rest) = path.split_first();
        for _ in 0..MAX_ATTEMPTS {
            let before = self.upload_of(name).await?;
            let replaces = before.as_ref().map(|(entry, _)| entry.code);
            let before = before.map(|(_, files)| files);
            let both = || PluginCodeError::Invalid(format!("'{name}' is a file and a folder"));
            let content = content.to_owned();
            let files = match (rest, before) {
                (None, Some(before)) if before.is_package() => return Err(both()),
                (None, _) => PluginSource::single(name, content)?,
                (Some(_), Some(before)) if !before.is_package() => return Err(both()),
                (Some(rest), Some(before)) => before.with(rest, content)?,
                (Some(rest), None) => {
                    PluginSource::folder([PluginSourceFile { path: rest.to_owned(), content }])?
                }
            };
            object::put(self.catalog.bucket(), &files).await?;
            let put = self.catalog.put_plugin(name, files.entry(), replaces);
            match put.await {
                Err(CatalogError::PluginChanged { .. }) => {}
                put => return Ok(put?),
            }
        }
        let name = name.to_owned();
        Err(CatalogError::PluginChanged { name }.into())
    }

    /// Returns the code of an uploaded plugin.
    ///
    /// # Errors
    /// `PathTraversal`, `NotFound` of the catalog, and the errors of reading code.
    pub async fn read_upload(&self, name: &str) -> Result<PluginSource, PluginCodeError> {
        let path = PluginPath::parse(name)?;
        let (first, _) = path.split_first();
        let upload = self.upload_of(first).await?;
        let missing = || CatalogError::NotFound { name: name.to_owned() };
        let (_, files) = upload.ok_or_else(missing)?;
        Ok(files)
    }

    /// Returns the code that a trigger runs.
    ///
    /// # Errors
    /// `NoTrigger`, `Ambiguous`, and the errors of reading code.
    pub async fn read_trigger(
        &self,
        trigger: &str,
        database: Option<&str>,
    ) -> Result<PluginSource, PluginCodeError> {
        let (_, trigger) = self.trigger(trigger, database).await?;
        self.current(&trigger).await
    }

    /// Deletes an uploaded plugin. Triggers keep their current code.
    ///
    /// # Errors
    /// `NotFound` of the catalog, and the errors of a commit.
    pub async fn delete_upload(&self, name: &str) -> Result<(), PluginCodeError> {
        let path = PluginPath::parse(name)?;
        Ok(self.catalog.delete_plugin(path.as_str()).await?)
    }

    /// Updates the file that a trigger runs: its only file, or the `__init__.py` of its package.
    ///
    /// # Errors
    /// `FolderOnly`, `NoTrigger`, `Ambiguous`, `Invalid`, and the errors of reading and putting code and of a commit.
    pub async fn update_file(
        &self,
        trigger: &str,
        database: Option<&str>,
        content: String,
    ) -> Result<(DatabaseId, Arc<Trigger>), PluginCodeError> {
        self.require_other_sources()?;
        let (database, trigger) = self.trigger(trigger, database).await?;
        let files = match self.current(&trigger).await {
            Ok(files) if files.is_package() => files.with(INIT, content)?,
            Ok(files) => PluginSource::single(files.file_name().unwrap_or(INIT), content)?,
            Err(PluginCodeError::NotFound(_)) => {
                PluginSource::single(&name_on_disk(&trigger.plugin), content)?
            }
            Err(error) => return Err(error),
        };
        self.update(database, &trigger, &files).await
    }

    /// Replaces the whole package that a trigger runs.
    ///
    /// # Errors
    /// `FolderOnly`, `PathTraversal`, `NoInit`, and those of [`update_file`](Self::update_file).
    pub async fn update_folder(
        &self,
        trigger: &str,
        database: Option<&str>,
        files: Vec<PluginSourceFile>,
    ) -> Result<(DatabaseId, Arc<Trigger>), PluginCodeError> {
        self.require_other_sources()?;
        let files = PluginSource::folder(files)?;
        files.require_plugin(trigger)?;
        let (database, trigger) = self.trigger(trigger, database).await?;
        self.update(database, &trigger, &files).await
    }

    async fn update(
        &self,
        database: DatabaseId,
        trigger: &Trigger,
        files: &PluginSource,
    ) -> Result<(DatabaseId, Arc<Trigger>), PluginCodeError> {
        let hash = object::put(self.catalog.bucket(), files).await?;
        let set = self.catalog.set_trigger_code(database, &trigger.name, hash);
        let updated = set.await?;
        // The upload of this name is updated too, if it is the code that the trigger ran.
        let plugin = trigger.plugin.trim_end_matches('/');
        let root = self.catalog.root(ANY_AGE).await?;
        let entry = root.value.plugins().get(plugin);
        if let (Some(entry), Some(before)) = (entry, trigger.code)
            && entry.code == before
        {
            let put = self.catalog.put_plugin(plugin, files.entry(), Some(before));
            match put.await {
                Ok(()) | Err(CatalogError::PluginChanged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok((database, updated))
    }

    async fn current(&self, trigger: &Trigger) -> Result<PluginSource, PluginCodeError> {
        match trigger.code {
            Some(hash) => object::read(self.catalog.bucket(), hash).await,
            None => {
                let path = PluginPath::parse(&trigger.plugin)?;
                let folder = self.folder.as_ref().ok_or(PluginCodeError::NoPluginFolder)?;
                folder.files(&path).await
            }
        }
    }

    /// Finds a trigger by name, in all databases if none is named, because InfluxDB 3 passes only the trigger's name.
    async fn trigger(
        &self,
        name: &str,
        database: Option<&str>,
    ) -> Result<(DatabaseId, Arc<Trigger>), PluginCodeError> {
        let root = self.catalog.root(Duration::ZERO).await?.value;
        let mut found = None;
        for (id, entry) in root.databases_with_triggers() {
            if database.is_some_and(|database| !entry.names().any(|name| name == database)) {
                continue;
            }
            let catalog = self.catalog.database(id, Duration::ZERO).await?.value;
            let Some(trigger) = catalog.trigger(name) else {
                continue;
            };
            if found.is_some() {
                return Err(PluginCodeError::Ambiguous(name.to_owned()));
            }
            found = Some((id, Arc::clone(trigger)));
        }
        found.ok_or_else(|| PluginCodeError::NoTrigger(name.to_owned()))
    }
}
