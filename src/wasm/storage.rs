//! Storage over a JS folder.

use js_sys::{Array, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::convert::{kind, settle, text};
use super::transfers::Pool;
use crate::platform::storage::{Entry, Gzipping, Usage};
use crate::platform::{FileWriter, Storage, StorageError, StorageErrorKind, WriteMode};

#[wasm_bindgen]
extern "C" {
    /// `Backend` of `host.d.ts`. Each method returns its value or a promise of it.
    #[derive(Clone)]
    pub(super) type Folder;
    #[wasm_bindgen(method, catch, js_name = stat)]
    fn js_stat(this: &Folder, path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = list)]
    fn js_list(this: &Folder, path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = read)]
    fn js_read(this: &Folder, path: &str, offset: f64, max: u32) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = open)]
    fn js_open(this: &Folder, path: &str, append: bool) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = rename)]
    fn js_rename(this: &Folder, from: &str, to: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = remove)]
    fn js_remove(this: &Folder, path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = link)]
    fn js_link(this: &Folder, target: &str, path: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = usage)]
    fn js_usage(this: &Folder) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch, js_name = lock)]
    fn js_lock(this: &Folder, folder: &str) -> Result<JsValue, JsValue>;

    /// `FileHandle` of `host.d.ts`. The bytes given to `write` are a view of wasm memory, valid until it returns.
    type File;
    #[wasm_bindgen(method, catch)]
    fn write(this: &File, bytes: &[u8]) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &File) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &File) -> Result<JsValue, JsValue>;
    /// Both of a file and of a lock: gives it up at once.
    #[wasm_bindgen(method, catch)]
    fn release(this: &File) -> Result<JsValue, JsValue>;
}

/// The host's folder, or a subfolder of it.
#[derive(Clone)]
pub(super) struct JsStorage {
    folder: Folder,
    /// Of a subfolder: its path, with a slash.
    prefix: String,
    /// Whose workers make gzip members.
    pool: Option<Pool>,
}

impl JsStorage {
    pub(super) fn new(folder: Folder, pool: Option<Pool>) -> Self {
        Self { folder, prefix: String::new(), pool }
    }

    /// A path as the host knows it.
    pub(super) fn full(&self, path: &str) -> String {
        match (path, self.prefix.strip_suffix('/')) {
            ("", Some(folder)) => folder.to_owned(),
            _ => [&self.prefix, path].concat(),
        }
    }
}

/// A file or a lock that the host holds for us; dropped, it is released.
pub(super) struct Held(Option<File>);

impl Held {
    /// Waits for what the host opens. Dropped while it waits, it releases what comes later.
    async fn claim(returned: Result<JsValue, JsValue>) -> Result<Self, JsValue> {
        struct Late(Option<Promise>);
        impl Drop for Late {
            fn drop(&mut self) {
                if let Some(promise) = self.0.take() {
                    spawn_local(async move {
                        if let Ok(value) = JsFuture::from(promise).await {
                            drop(Held(Some(value.unchecked_into())));
                        }
                    });
                }
            }
        }
        match returned?.dyn_into::<Promise>() {
            Ok(promise) => {
                let mut late = Late(Some(promise.clone()));
                let settled = JsFuture::from(promise).await;
                late.0 = None;
                settled.map(|value| Self(Some(value.unchecked_into())))
            }
            Err(value) => Ok(Self(Some(value.unchecked_into()))),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            // Nobody is left to be told.
            let _ = file.release();
        }
    }
}

/// A file open for writing.
pub(super) struct JsWriter {
    path: String,
    held: Held,
}

impl JsWriter {
    async fn call(&self, call: impl FnOnce(&File) -> Result<JsValue, JsValue>) -> Result<(), StorageError> {
        // Only `close` takes the file out, and it takes the writer with it.
        let Some(file) = &self.held.0 else { return Ok(()) };
        settle(call(file)).await.map(drop).map_err(|thrown| error(&self.path, &thrown))
    }
}

impl FileWriter for JsWriter {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.call(|file| file.write(bytes)).await
    }

    async fn flush(&mut self) -> Result<(), StorageError> {
        self.call(File::flush).await
    }

    async fn close(mut self) -> Result<(), StorageError> {
        self.call(File::close).await?;
        self.held.0 = None;
        Ok(())
    }
}

/// What the host threw; without a kind it is an error like any other.
fn error(path: &str, thrown: &JsValue) -> StorageError {
    StorageError::new(kind(thrown).unwrap_or(StorageErrorKind::Other), path, text(thrown))
}

fn entry(value: &JsValue) -> Entry {
    let get = |name: &str| Reflect::get(value, &JsValue::from_str(name)).unwrap_or_default();
    Entry {
        name: get("name").as_string().unwrap_or_default(),
        is_dir: get("isDir").is_truthy(),
        // Sizes are whole numbers below 2^53.
        #[allow(clippy::cast_sign_loss)]
        size: get("size").as_f64().unwrap_or_default() as u64,
        target: get("target").as_string(),
    }
}

impl Storage for JsStorage {
    type Writer = JsWriter;
    type Lock = Held;

    fn within(&self, folder: &str) -> Self {
        let prefix = if folder.is_empty() { self.prefix.clone() } else { [&self.prefix, folder, "/"].concat() };
        Self { folder: self.folder.clone(), prefix, pool: self.pool.clone() }
    }

    async fn stat(&self, path: &str) -> Result<Option<Entry>, StorageError> {
        let value = settle(self.folder.js_stat(&self.full(path))).await.map_err(|thrown| error(path, &thrown))?;
        Ok((!value.is_undefined()).then(|| entry(&value)))
    }

    async fn list(&self, path: &str) -> Result<Vec<Entry>, StorageError> {
        let value = settle(self.folder.js_list(&self.full(path))).await.map_err(|thrown| error(path, &thrown))?;
        Ok(value.unchecked_into::<Array>().iter().map(|value| entry(&value)).collect())
    }

    async fn read(&self, path: &str, offset: u64, max: usize) -> Result<Vec<u8>, StorageError> {
        let returned = self.folder.js_read(&self.full(path), offset as f64, max as u32);
        let value = settle(returned).await.map_err(|thrown| error(path, &thrown))?;
        Ok(value.unchecked_into::<Uint8Array>().to_vec())
    }

    async fn open(&self, path: &str, mode: WriteMode) -> Result<JsWriter, StorageError> {
        let returned = self.folder.js_open(&self.full(path), mode == WriteMode::Append);
        let held = Held::claim(returned).await.map_err(|thrown| error(path, &thrown))?;
        Ok(JsWriter { path: path.to_owned(), held })
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        settle(self.folder.js_rename(&self.full(from), &self.full(to)))
            .await
            .map(drop)
            .map_err(|thrown| error(from, &thrown))
    }

    async fn remove(&self, path: &str) -> Result<(), StorageError> {
        settle(self.folder.js_remove(&self.full(path))).await.map(drop).map_err(|thrown| error(path, &thrown))
    }

    async fn link(&self, target: &str, path: &str) -> Result<(), StorageError> {
        settle(self.folder.js_link(target, &self.full(path))).await.map(drop).map_err(|thrown| error(path, &thrown))
    }

    fn gzip(&self, text: &[u8]) -> Option<Gzipping> {
        let member = JsFuture::from(self.pool.as_ref()?.gzip(text).ok()?);
        Some(Box::pin(async move {
            let member = member.await.map_err(|thrown| error("", &thrown))?;
            Ok(member.unchecked_into::<Uint8Array>().to_vec())
        }))
    }

    async fn usage(&self) -> Result<Usage, StorageError> {
        let value = settle(self.folder.js_usage()).await.map_err(|thrown| error("", &thrown))?;
        let available = Reflect::get(&value, &JsValue::from_str("available")).unwrap_or_default().as_f64();
        #[allow(clippy::cast_sign_loss)] // As for sizes.
        Ok(Usage { available: available.map(|bytes| bytes as u64) })
    }

    async fn lock(&self) -> Result<Held, StorageError> {
        Held::claim(self.folder.js_lock(&self.full(""))).await.map_err(|thrown| error("", &thrown))
    }
}
