"""Generated clients understand every response, and linters accept the OpenAPI document."""

import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import mongomock
import pytest
from support import ROOT, StubStore, jwt_app, make_token
from werkzeug.serving import make_server

from flask_usage_stats import ProjectStore
from flask_usage_stats.openapi import openapi_document

HERE = Path(__file__).parent
BIN = HERE / "node_modules" / ".bin"
PROJECTS = [
    {"_id": 1, "name": "api", "plan": "pro", "status": "live", "totalRequest": 2**60 + 1},
    {"_id": 2, "name": "api-docs", "plan": None, "totalRequest": 0.5},
    {"_id": "3", "name": None, "createdAt": None},
]
# What only the application can know: where it is served, whom to contact and its license.
SPECTRAL_RULES = {"oas3-api-servers": "off", "info-contact": "off"}
REDOCLY_RULES = ("no-empty-servers", "info-license")


def run(*command, **options):
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def node_program(name):
    """Return the path of a program. If it is missing, skip the test, or fail if ``REQUIRE_NODE`` is set."""
    path = shutil.which("node") if name == "node" else shutil.which(name, path=BIN)
    if path is None:
        reason = f"{name} is missing: install Node.js, and run npm install --prefix tests/clients"
        if os.environ.get("REQUIRE_NODE"):
            pytest.fail(f"REQUIRE_NODE is set: {reason}")
        pytest.skip(reason)
    return path


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(openapi_document()))
    return path


@contextlib.contextmanager
def serve(store):
    """Yield the address of a server with a store, and a token of ada's."""
    app = jwt_app(store)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", make_token(app)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def host():
    """Yield the address of a server with three projects of ada's, and a token of hers."""
    projects = mongomock.MongoClient().platform.projects
    projects.insert_many([{"owner": "ada", **project} for project in PROJECTS])
    with serve(ProjectStore(projects)) as address_and_token:
        yield address_and_token


@pytest.fixture(scope="module")
def python_client(document, tmp_path_factory):
    """Generate the Python client and return its package."""
    folder = tmp_path_factory.mktemp("python")
    generator = Path(sys.executable).with_name("openapi-python-client")
    config = folder / "config.json"
    config.write_text(json.dumps({"post_hooks": []}))
    # A warning means that a part of the document was left out.
    options = ("--meta", "none", "--config", config, "--fail-on-warning")
    run(generator, "generate", "--path", document, "--output-path", folder / "usage_client", *options)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("usage_client")
    sys.path.remove(str(folder))


class TestPython:
    def get(self, package, host, token=None, **parameters):
        address, valid = host
        client = package.AuthenticatedClient(base_url=address, token=token or valid)
        operation = importlib.import_module("usage_client.api.usage.get_api_usage")
        return operation.sync_detailed(client=client, **parameters)

    def test_rows(self, python_client, host):
        """Rows with null and missing fields are parsed."""
        response = self.get(python_client, host)
        body = response.parsed.to_dict()
        assert response.status_code == 200
        assert body == {
            "success": True,
            "totalRequests": float(2**60 + 1),
            "projectStats": [
                PROJECTS[0],
                {"_id": 2, "name": "api-docs", "plan": None, "totalRequest": 0.5},
                {"_id": "3", "name": None, "totalRequest": 0, "createdAt": None},
            ],
        }

    def test_pages_and_groups(self, python_client, host):
        """Pages are followed by their cursor, and groups have null values."""
        models = importlib.import_module("usage_client.models")
        by = [models.GetApiUsageGroupByItem.PLAN, models.GetApiUsageGroupByItem.STATUS]
        first = self.get(python_client, host, limit=2, group_by=by, search="API").parsed
        assert (first.total_projects, first.next_cursor) == (2, None)
        assert [(group.plan, group.projects) for group in first.groups] == [("pro", 1), (None, 1)]
        page = self.get(python_client, host, limit=1).parsed
        assert self.get(python_client, host, limit=1, cursor=page.next_cursor).parsed.project_stats[0].field_id == 2

    def test_errors(self, python_client, host):
        """Errors have their message, and invalid parameters their messages by name."""
        invalid = self.get(python_client, host, min_requests="-1")
        assert (invalid.status_code, invalid.parsed.success) == (400, False)
        assert list(invalid.parsed.errors.to_dict()) == ["minRequests"]
        refused = self.get(python_client, host, token="x")
        assert (refused.status_code, refused.parsed.message) == (401, "Invalid or expired token")
        with serve(StubStore(error=OSError())) as failing:
            failed = self.get(python_client, failing)
        assert (failed.status_code, failed.parsed.message) == (500, "Failed to fetch usage stats")

    def test_unchanged_response(self, python_client, host):
        """A tag in If-None-Match is a parameter of the client."""
        tag = self.get(python_client, host).headers["ETag"]
        assert self.get(python_client, host, if_none_match=tag).status_code == 304


def test_typescript(document, host, tmp_path):
    """The generated types fit a strict program, and the program gets what they promise."""
    run(node_program("openapi-typescript"), document, "-o", tmp_path / "api.ts")
    shutil.copy(HERE / "main.ts", tmp_path)
    options = ("--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext")
    run(node_program("tsc"), *options, "--lib", "es2023,dom", tmp_path / "main.ts")
    # JSON.parse rounds the count, as docs/examples/javascript.md explains.
    assert json.loads(run(node_program("node"), tmp_path / "main.js", *host)) == {
        "names": ["api", "api-docs", None],
        "groups": [["pro", 1, 1_152_921_504_606_847_000], [None, 1, 0.5]],
        "total": 2,
        "messages": {"limit": ["limit must be a whole number from 0 to 1000"]},
        "statuses": [400, 401],
    }


def test_types_of_the_element(tmp_path):
    """The documented types of the element fit a strict program."""
    types = (ROOT / "docs" / "page.md").read_text().partition("```typescript\n")[2].partition("```")[0]
    (tmp_path / "usage-stats.d.ts").write_text(types)
    shutil.copy(HERE / "page.ts", tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler")
    run(node_program("tsc"), *options, "--lib", "es2023,dom", tmp_path / "page.ts")


def test_spectral(document, tmp_path):
    """Spectral finds nothing."""
    ruleset = tmp_path / "ruleset.json"
    ruleset.write_text(json.dumps({"extends": "spectral:oas", "rules": SPECTRAL_RULES}))
    run(node_program("spectral"), "lint", "--ruleset", ruleset, "--fail-severity", "hint", document)


def test_redocly(document):
    """Redocly finds neither an error nor a warning."""
    skipped = [argument for rule in REDOCLY_RULES for argument in ("--skip-rule", rule)]
    report = json.loads(run(node_program("redocly"), "lint", "--format", "json", *skipped, document))
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


JAVASCRIPT = """
const endpoint = process.argv[2] + "/api/usage";
const token = process.argv[3];
const clicked = [];
URL.createObjectURL = () => "blob:1";
URL.revokeObjectURL = () => clicked.push("revoked");
const document = { createElement: () => ({ click() { clicked.push(this.download); } }) };
%s
(async () => {
  const found = [];
  for await (const project of projects(token)) found.push([project.name ?? null, String(project.totalRequest)]);
  const filtered = [];
  for await (const project of projects(token, [["plan", "pro"], ["plan", "x"]])) filtered.push(project.name);
  await download(token);
  const error = await request("x", {}).catch((error) => error.message);
  const fraction = await parse(new Response('{"totalRequest":1234567890123456.5}'));
  console.log(JSON.stringify({ found, filtered, clicked, error, fraction }));
})();
"""


def test_documented_javascript(host, tmp_path):
    """The documented program lists all projects with exact counts, and saves the CSV file under its name."""
    page = (HERE.parent.parent / "docs" / "examples" / "javascript.md").read_text()
    program = tmp_path / "program.js"
    program.write_text(JAVASCRIPT % page.partition("```javascript\n")[2].partition("```")[0])
    printed = json.loads(run(node_program("node"), program, *host))
    assert printed["found"] == [["api", str(2**60 + 1)], ["api-docs", "0.5"], [None, "0"]]
    assert printed["filtered"] == ["api"]
    assert printed["clicked"][0].startswith("usage-")
    assert printed["clicked"][1] == "revoked"
    assert printed["error"] == "Invalid or expired token"
    assert printed["fraction"] == {"totalRequest": 1234567890123456.5}


def test_documented_axios(host, tmp_path):
    """The documented option sends arrays without brackets; without it, the request is a 400."""
    node_program("openapi-typescript")  # the packages are installed
    page = (HERE.parent.parent / "docs" / "examples" / "javascript.md").read_text()
    (call,) = re.findall(r"axios\.get\((endpoint, .+)\);", page)
    program = f"""
        import axios from {json.dumps((HERE / "node_modules" / "axios" / "index.js").as_uri())};
        const endpoint = process.argv[2] + "/api/usage";
        const client = axios.create({{ headers: {{ Authorization: `Bearer ${{process.argv[3]}}` }}, validateStatus: null }});
        const {{ data }} = await client.get({call});
        const {{ status }} = await client.get(endpoint, {{ params: {{ plan: ["pro", "free"] }} }});
        console.log(JSON.stringify([data.projectStats.map((project) => project.name), status]));
    """
    (tmp_path / "program.mjs").write_text(program)
    assert json.loads(run(node_program("node"), tmp_path / "program.mjs", *host)) == [["api"], 400]
