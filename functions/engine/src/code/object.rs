//! The code of a plugin as an object in the bucket.
//!
//! ```text
//! plugins/<hash>   envelope NPLG: zstd of {"is_package": …, "files": [{"path": …, "content": …}]}
//! ```

use std::io::Read;

use neap_bucket::{
    Bucket, CodeHash, FormatError, Get, GetOptions, Key, ObjectFormat, Operation, Put, PutMode,
    StoreError, formats,
};
use neap_catalog::MAX_PLUGIN_BYTES;
use serde::{Deserialize, Serialize};

use super::{PluginCodeError, PluginSource, PluginSourceFile};

const FORMAT: ObjectFormat = formats::PLUGIN_CODE;

const ZSTD_LEVEL: i32 = 3;

/// Maximum bytes of decoded JSON: a control character takes six bytes.
const MAX_JSON_BYTES: u64 = 6 * MAX_PLUGIN_BYTES + (1 << 20);

#[derive(Serialize, Deserialize)]
struct CodeObject {
    is_package: bool,
    files: Vec<PluginSourceFile>,
}

/// Puts the code of a plugin, even if it exists: a young object is not collected before a trigger names it.
pub(super) async fn put(
    bucket: &Bucket,
    files: &PluginSource,
) -> Result<CodeHash, PluginCodeError> {
    let hash = files.hash();
    let key = Key::PluginCode(hash);
    let put_id = bucket.world().entropy.next_u128();
    let object = FORMAT.encode(put_id, &payload(files)?);
    let put = bucket.put(&key, object, PutMode::Overwrite).await?;
    match put.value {
        Put::Done(_) => Ok(hash),
        Put::Refused => Err(PluginCodeError::Store(StoreError::Unavailable {
            operation: Operation::Put,
            key: key.to_string(),
            reason: "the store refused a put without a condition".to_owned(),
        })),
    }
}

/// Reads the code with a hash, and verifies the hash.
pub(super) async fn read(bucket: &Bucket, hash: CodeHash) -> Result<PluginSource, PluginCodeError> {
    let key = Key::PluginCode(hash);
    let got = bucket.get(&key, GetOptions::default()).await?;
    let Get::Found(object) = got.value else {
        return Err(PluginCodeError::Missing(key.to_string()));
    };
    let key = key.to_string();
    let (_, payload) = FORMAT.decode(&key, &object.bytes)?;
    let files = files(&payload).map_err(|reason| damaged(&key, reason))?;
    if files.hash() != hash {
        return Err(damaged(&key, "its files have another hash".to_owned()));
    }
    Ok(files)
}

fn damaged(key: &str, reason: String) -> PluginCodeError {
    let key = key.to_owned();
    PluginCodeError::Format(FormatError::Damaged { key, reason })
}

fn payload(files: &PluginSource) -> Result<Vec<u8>, PluginCodeError> {
    let of_file = |(path, content): (&str, &str)| PluginSourceFile {
        path: path.to_owned(),
        content: content.to_owned(),
    };
    let code = CodeObject {
        is_package: files.is_package(),
        files: files.iter().map(of_file).collect(),
    };
    let json = serde_json::to_vec(&code).map_err(|error| PluginCodeError::Io(error.to_string()))?;
    zstd::encode_all(json.as_slice(), ZSTD_LEVEL)
        .map_err(|error| PluginCodeError::Io(error.to_string()))
}

fn files(payload: &[u8]) -> Result<PluginSource, String> {
    let mut json = Vec::new();
    let decoder = zstd::Decoder::new(payload).map_err(|error| error.to_string())?;
    let read = decoder.take(MAX_JSON_BYTES).read_to_end(&mut json);
    read.map_err(|error| error.to_string())?;
    let code: CodeObject = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
    let files = match (code.is_package, code.files.as_slice()) {
        (true, _) => PluginSource::folder(code.files),
        (false, [file]) => PluginSource::single(&file.path, file.content.clone()),
        (false, files) => return Err(format!("one file was expected, not {}", files.len())),
    };
    files.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn files_round_trip(
            contents in proptest::collection::btree_map("[a-z]{1,8}(/[a-z]{1,4}\\.py)?", "\\PC{0,20}[\\x00-\\x1f]{0,3}", 0..5)
        ) {
            let files = contents.into_iter().map(|(path, content)| PluginSourceFile { path, content });
            let Ok(folder) = PluginSource::folder(files) else {
                return Ok(());
            };
            prop_assert_eq!(super::files(&payload(&folder).unwrap()).unwrap(), folder);
        }
    }

    #[test]
    fn invalid_code_objects_are_rejected() {
        assert!(files(b"").is_err());
        let two = r#"{"is_package":false,"files":[]}"#;
        let two = zstd::encode_all(two.as_bytes(), 1).unwrap();
        assert!(files(&two).unwrap_err().contains("one file"));
    }
}
