//! Models leave.

use crate::support::TestApp;
use serde_json::json;
use sha2::{Digest, Sha256};

const BYTES: &str = "application/octet-stream";

#[tokio::test]
async fn a_version_is_the_same_file_in_each_format_every_time() {
    let app = TestApp::start().await;
    app.train("digits", 1).await;
    let mut etags = Vec::new();
    for (format, content_type) in [("safetensors", BYTES), ("npz", "application/zip"), ("onnx", BYTES)] {
        let path = format!("/models/digits/download?format={format}");
        let (file, again) = (app.get(&path).await, app.get(&path).await);
        assert_eq!(file.status, 200, "{}", file.text());
        assert_eq!(file.body, again.body, "{format}");
        assert_eq!(file.header("content-type"), content_type);
        let disposition = format!("attachment; filename=\"digits-1.{format}\"");
        assert_eq!(file.header("content-disposition"), disposition);
        let digest = format!("\"sha256:{}\"", hex::encode(Sha256::digest(&file.body)));
        assert_eq!(file.header("etag"), digest);
        etags.push(digest);
    }
    let version = app.get("/models/digits/versions/1").await.json();
    assert_eq!(etags[0], format!("\"{}\"", version["digest"].as_str().unwrap()));
    app.post("/models/digits/versions/1/revoke", &json!({})).await.json();
    app.get("/models/digits:1/download?format=onnx").await.problem(410, "version_revoked");
}
