use super::*;

/// Returns the status, the headers and the body of the response for an expression.
async fn answer(stage: &mut WorkerFixture, expression: &str, version: usize) -> String {
    let source = format!(
        "{}\n{}",
        r#"
class Flask:
    def __init__(self, status_code=200, headers={}, data="flask"):
        self.status_code = status_code
        self.headers = headers
        self.data = data
    def __flask_response__(self):
        return True
    def get_data(self):
        return self.data
class Odd(Flask):
    def __flask_response__(self):
        return 1
def generate():
    yield "a"
    yield b"b"
    yield b"\xff"
    yield 7
    yield "c"
def raising():
    yield "a"
    raise ValueError("in the middle")
"#,
        request_function(&format!("return {expression}")),
    );
    stage.rewrite(&source, &version.to_string());
    let answer = match stage.run().await {
        Ok(finished) => {
            let PluginResponse { status, headers, body } = finished.response.unwrap();
            format!("{status} {headers:?} {}", String::from_utf8(body.to_vec()).unwrap())
        }
        Err(error) => format!("failed: {error}"),
    };
    format!("{expression}\n    {answer}")
}

#[tokio::test]
async fn every_form_of_response_is_understood_and_nothing_else() {
    let expressions = [
        "'text ä'",
        "''",
        "{'a': [1, None, 'ä']}",
        "[1, 2]",
        "('body', 201)",
        "('body', {'X-A': 'b'})",
        "('body', 404, {'X-A': 'b', 'content-type': 'text/csv'})",
        "({'a': 1}, 400)",
        "([1], 200, {})",
        "(7, 200)",
        "(b'bytes', 200)",
        "(None,)",
        "('body', True)",
        "('body', 'nonsense')",
        "('body', 70000)",
        "('body', -1)",
        "('body', 2**70)",
        "('body', 200, 'nonsense')",
        "('body', 200, {'X-A': 1})",
        "('body', {1: 'a'})",
        "(1, 2, 3, 4)",
        "('a', 'b', 'c', 'd')",
        "()",
        "generate()",
        "iter(['x', 'y'])",
        "raising()",
        "{'a', }",
        "b'bytes'",
        "None",
        "7",
        "object()",
        "{'a': object()}",
        "Flask()",
        "Flask(418, {'X-A': 'b'}, 'tea')",
        "Flask('418')",
        "Flask(70000)",
        "Flask(200, [('X-A', 'b')])",
        "Flask(data=b'bytes')",
        "Odd()",
        "'\\ud800'",
    ];
    let mut stage = WorkerFixture::new("");
    let mut answers = Vec::new();
    for (version, expression) in expressions.iter().enumerate() {
        answers.push(answer(&mut stage, expression, version).await);
    }
    insta::assert_snapshot!(answers.join("\n"));
}
