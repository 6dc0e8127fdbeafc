//! The check reads the objects of every kind of key as its policy says.

use neap_bucket::{CheckPolicy, CodeHash, PurgePolicy, formats};
use neap_catalog::{NewPlugin, NewTrigger, TriggerSpecification};

use super::{lost_registers::valid_object, *};
use crate::{FindingKind, Severity};

fn is_reported(report: &FsckReport, key: &Key, kind: FindingKind) -> bool {
    let text = key.to_string();
    let mut findings = report.findings.iter();
    findings.any(|finding| finding.key.as_ref() == Some(&text) && finding.kind == kind)
}

#[tokio::test(start_paused = true)]
async fn damage_of_every_register_of_a_database_is_reported() {
    let stage = FsckFixture::filled_in_memory().await;
    for key in Key::registers_of(stage.database) {
        assert_eq!(key.policy().check, CheckPolicy::Decoded, "{key}");
        let got = stage.bucket.get(&key, GetOptions::default()).await;
        let before = got.unwrap().value;
        stage.put(&key.to_string(), b"damaged".to_vec()).await;
        let report = stage.quick().await;
        assert!(is_reported(&report, &key, FindingKind::Damaged), "{key}");
        match before {
            Get::Found(object) => stage.put(&key.to_string(), object.bytes.to_vec()).await,
            Get::Missing | Get::Unchanged => stage.delete(&key).await,
        }
    }
    assert_eq!(lines(&stage.full().await), "");
}

#[tokio::test(start_paused = true)]
async fn a_full_check_verifies_the_header_of_each_object_as_its_readers_do() {
    let stage = FsckFixture::filled_in_memory().await;
    let kinds = Key::one_of_each_kind(stage.database)
        .into_iter()
        .filter(|key| key.policy().check == CheckPolicy::Header);
    for key in kinds {
        let object = valid_object(&key);
        let last = object.len() - 1;
        stage.put(&key.to_string(), object.clone()).await;
        assert_eq!(lines(&stage.full().await), "", "{key}");
        // The checksum does not cover the header.
        for (at, kind) in
            [(0, FindingKind::Damaged), (4, FindingKind::Newer), (last, FindingKind::Damaged)]
        {
            stage.flip_bit(&key, at).await;
            // There are few registers of the cluster, so that every check reads them.
            let is_read = key.is_register() && key.database().is_none();
            let quick = stage.quick().await;
            assert_eq!(is_reported(&quick, &key, kind), is_read, "{key}: {quick}");
            let report = stage.full().await;
            assert!(is_reported(&report, &key, kind), "{key}: {report}");
            assert_eq!(report.findings.len(), 1, "{key}: {report}");
            stage.put(&key.to_string(), object.clone()).await;
        }
        stage.delete(&key).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_version_of_every_register_is_reported_and_the_rest_is_checked() {
    let (stage, keys) = FsckFixture::with_all_registers().await;
    let bundle = stage.sections(CPU).await[0].key(stage.database);
    for key in keys {
        let object = stage.bytes(&key).await;
        let mut newer = object.clone();
        newer[4] = 99;
        stage.put(&key.to_string(), newer).await;
        let report = stage.full().await;
        assert!(is_reported(&report, &key, FindingKind::Newer), "{key}: {report}");
        let errors = report.findings.iter().filter(|one| one.severity == Severity::Error);
        assert_eq!(errors.count(), 1, "{key}: {report}");
        // The check continues behind it: damage elsewhere is found, too.
        if !matches!(key, Key::Manifest(_) | Key::DatabaseCatalog(_)) {
            let intact = stage.bytes(&bundle).await;
            stage.flip_bit(&bundle, 10).await;
            let report = stage.full().await;
            assert!(is_reported(&report, &bundle, FindingKind::Damaged), "{key}: {report}");
            stage.put(&bundle.to_string(), intact).await;
        }
        stage.put(&key.to_string(), object).await;
    }
    assert!(stage.full().await.clean);
}

#[tokio::test(start_paused = true)]
async fn objects_that_outlive_their_database_belong_to_no_unknown_database() {
    let unknown = DatabaseId::new(99);
    for key in Key::one_of_each_kind(unknown) {
        if key.database().is_none() {
            continue;
        }
        let stage = FsckFixture::in_memory().await;
        stage.put(&key.to_string(), b"object".to_vec()).await;
        let report = stage.quick().await;
        let mut findings = report.findings.iter();
        let is_unknown = findings.any(|finding| finding.kind == FindingKind::UnknownDatabase);
        assert_eq!(is_unknown, key.policy().purge != PurgePolicy::Kept, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn missing_and_damaged_code_of_plugins_is_reported() {
    let stage = FsckFixture::filled_in_memory().await;
    let [of_trigger, of_plugin] = [1, 2].map(|number| CodeHash([number; 32]));
    let trigger = NewTrigger {
        code: Some(of_trigger),
        ..NewTrigger::new("t", "p.py", TriggerSpecification::AllTablesWalWrite)
    };
    let create = stage.catalog.create_trigger(stage.database, &trigger);
    create.await.unwrap();
    let plugin = NewPlugin { code: of_plugin, is_package: false, files: Vec::new() };
    let put = stage.catalog.put_plugin("p.py", plugin, None);
    put.await.unwrap();
    for (code, user) in [(of_trigger, "trigger \"t\""), (of_plugin, "plugin \"p.py\"")] {
        let key = Key::PluginCode(code);
        let report = stage.quick().await;
        assert!(is_reported(&report, &key, FindingKind::Missing), "{key}");
        let text = lines(&report);
        assert!(text.contains(user), "{text}");
        stage
            .put(&key.to_string(), formats::PLUGIN_CODE.encode(1, b"code").to_vec())
            .await;
    }
    assert_eq!(lines(&stage.full().await), "");
    let key = Key::PluginCode(of_trigger);
    stage.flip_bit(&key, 30).await;
    let report = stage.full().await;
    assert!(is_reported(&report, &key, FindingKind::Damaged));
    assert_eq!(report.errors, 1);
}
