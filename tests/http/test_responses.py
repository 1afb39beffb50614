"""CSV responses and conditional requests."""

import csv
import io
from datetime import UTC, datetime

import pytest

from flask_usage_stats import ProjectStore

HEADER = "_id,name,projectType,status,plan,totalRequest,createdAt,updatedAt\r\n"


@pytest.fixture
def client(any_projects, app_factory):
    """Send requests as ada."""
    return app_factory(any_projects).test_client()


class TestCSV:
    def test_rows_are_lines(self, any_projects, client):
        """The columns are in the order of the response; null and missing fields are empty cells."""
        any_projects.insert_many(
            [
                {"_id": 1, "owner": "ada", "name": 'a "b", c\r\nd', "plan": None, "totalRequest": 5},
                {
                    "_id": 2,
                    "owner": "ada",
                    "name": "é",
                    "totalRequest": 2.5,
                    "updatedAt": datetime(2024, 3, 14, 10, 15),
                },
            ]
        )
        response = client.get("/api/usage?format=csv")
        assert response.data.decode() == (
            HEADER + '1,"a ""b"", c\r\nd",,,,5,,\r\n' + "2,é,,,,2.5,,2024-03-14T10:15:00.000Z\r\n"
        )
        assert response.content_type == "text/csv; charset=utf-8"
        today = datetime.now(UTC)
        assert response.headers["Content-Disposition"] == f'attachment; filename="usage-{today:%Y-%m-%d}.csv"'

    @pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
    def test_formulas_are_escaped(self, any_projects, client, begin):
        """Text that a spreadsheet would read as a formula gets an apostrophe; numbers are unchanged."""
        any_projects.insert_one({"_id": f"{begin}1", "owner": "ada", "name": f"{begin}1+1", "totalRequest": -5})
        text = client.get("/api/usage?format=csv").data.decode()
        _, row = csv.reader(io.StringIO(text, newline=""))
        assert row == [f"'{begin}1", f"'{begin}1+1", "", "", "", "-5", "", ""]

    def test_rows_are_those_of_json(self, any_projects, client):
        """Filters, order and pages are the same as in JSON, and the Link header has the next page."""
        any_projects.insert_many([{"_id": n, "owner": "ada", "plan": "pro" if n % 2 else "free"} for n in range(9)])
        query = "/api/usage?plan=PRO&limit=2"
        table, body = client.get(query + "&format=csv"), client.get(query)
        ids = [row["_id"] for row in csv.DictReader(io.StringIO(table.text))]
        assert ids == [str(row["_id"]) for row in body.json["projectStats"]]
        assert body.json["nextCursor"] in table.headers["Link"]
        assert "format=csv" in table.headers["Link"]

    def test_groups_are_lines(self, any_projects, client):
        """With groupBy, each line is a group instead of a project."""
        any_projects.insert_many(
            [
                {"owner": "ada", "plan": "=pro", "status": "live", "totalRequest": 3},
                {"owner": "ada", "status": "Live", "totalRequest": 1},
            ]
        )
        response = client.get("/api/usage?format=csv&groupBy=status,plan&limit=1")
        assert response.text == "status,plan,projects,totalRequests,share\r\nlive,'=pro,1,3,0.75\r\nlive,,1,1,0.25\r\n"
        assert "Link" not in response.headers

    def test_no_projects_are_a_header_only(self, client):
        """The header line is always present."""
        assert client.get("/api/usage?format=csv").text == HEADER

    def test_errors_are_json(self, client):
        """Errors are JSON, whatever the format parameter and the Accept header."""
        response = client.get("/api/usage?format=csv&limit=x", headers={"Accept": "text/csv"})
        assert response.status_code == 400
        assert response.mimetype == "application/json"

    @pytest.mark.parametrize(
        ("accept", "mimetype"),
        [
            (None, "application/json"),
            ("*/*", "application/json"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
            ("application/json, text/csv", "application/json"),
            ("application/json;q=0.5, text/csv;q=0.5", "application/json"),
            ("text/csv", "text/csv"),
            ("text/csv, application/json;q=0.9", "text/csv"),
            ("text/*", "text/csv"),
            ("text/csv;q=0.5, */*;q=0.9", "application/json"),
            ("text/csv;q=0", "application/json"),
            ("image/png", "application/json"),
            ("nonsense", "application/json"),
            ("text/csv; charset=utf-8", "text/csv"),
            ("text/csv;header=present;q=0.9, application/json;q=0.8", "text/csv"),
            ("text/csv; q=0.8, application/json; charset=utf-8", "application/json"),
            ("text/csv, application/json; indent=2", "application/json"),
            ("TEXT/CSV; Charset=UTF-8", "text/csv"),
            ("text/csv; charset=utf-8; q=0", "application/json"),
        ],
    )
    def test_accept_ranks_the_formats(self, client, accept, mimetype):
        """The response is CSV if Accept ranks it strictly above JSON; 406 is never returned."""
        headers = {} if accept is None else {"Accept": accept}
        response = client.get("/api/usage", headers=headers)
        assert (response.status_code, response.mimetype) == (200, mimetype)
        assert response.headers["Vary"] == "Authorization, Accept"

    def test_format_parameter_takes_precedence(self, client):
        """The format parameter takes precedence over the Accept header."""
        assert client.get("/api/usage?format=json", headers={"Accept": "text/csv"}).mimetype == "application/json"
        assert client.get("/api/usage?format=csv", headers={"Accept": "application/json"}).mimetype == "text/csv"


class TestConditionalRequests:
    def test_unchanged_response_is_304(self, any_projects, client):
        """GET and HEAD return 304 until the response changes."""
        any_projects.insert_one({"_id": 1, "owner": "ada", "totalRequest": 1})
        first = client.get("/api/usage")
        tag = first.headers["ETag"]
        for method in ("GET", "HEAD"):
            response = client.open("/api/usage", method=method, headers={"If-None-Match": tag})
            assert (response.status_code, response.data) == (304, b"")
            assert response.headers["ETag"] == tag
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Vary"] == "Authorization, Accept"
            assert "Content-Type" not in response.headers
        any_projects.update_one({"_id": 1}, {"$inc": {"totalRequest": 1}})
        changed = client.get("/api/usage", headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["ETag"] != tag

    @pytest.mark.parametrize("wrap", ["{}", "W/{}", '"other", {}', "*"])
    def test_tag_may_be_weak_or_one_of_several(self, client, wrap):
        """``*`` matches as well."""
        tag = client.get("/api/usage").headers["ETag"]
        assert client.get("/api/usage", headers={"If-None-Match": wrap.format(tag)}).status_code == 304

    @pytest.mark.parametrize("suffix", ["-gzip", "--gzip", ";br", ":zstd", "gzip"])
    @pytest.mark.parametrize("weak", ["", "W/"])
    def test_tag_may_have_the_suffix_of_a_compressing_proxy(self, client, weak, suffix):
        """Proxies that compress a response add a suffix to its tag, make it weak, or both."""
        tag = client.get("/api/usage").headers["ETag"].removesuffix('"')
        header = f'{weak}{tag}{suffix}"'
        assert client.get("/api/usage", headers={"If-None-Match": header}).status_code == 304

    def test_a_part_of_the_tag_does_not_match(self, client):
        """The tag must be complete."""
        tag = client.get("/api/usage").headers["ETag"]
        for header in (f'{tag[:-2]}"', f'"x{tag[1:]}', f'"-gzip{tag[1:]}'):
            assert client.get("/api/usage", headers={"If-None-Match": header}).status_code == 200

    @pytest.mark.parametrize("header", ['"other"', "", "nonsense", '"'])
    def test_other_tags_do_not_match(self, client, header):
        """If no tag matches, the complete response is returned."""
        assert client.get("/api/usage", headers={"If-None-Match": header}).status_code == 200

    def test_tag_depends_on_the_representation(self, any_projects, app_factory, client):
        """The tag depends on the format and the content, not on the owner or the time."""
        any_projects.insert_many([{"_id": 1, "owner": ["ada", "bob"]}, {"_id": 2, "owner": "ada", "plan": "x"}])
        bob = app_factory(ProjectStore(any_projects), "bob").test_client()
        tags = {
            query: client.get(f"/api/usage?{query}").headers["ETag"]
            for query in ("", "format=csv", "plan=x", "limit=1", "groupBy=plan", "minRequests=1")
        }
        assert len(set(tags.values())) == len(tags)
        assert bob.get("/api/usage?_=1").headers["ETag"] == bob.get("/api/usage").headers["ETag"]
        assert (
            client.get("/api/usage?limit=1000&minRequests=1").headers["ETag"]
            == (bob.get("/api/usage?limit=1000&minRequests=1").headers["ETag"])
        )

    def test_tag_of_a_csv_page_depends_on_its_link(self, any_projects, client):
        """The tag of a CSV page changes when another page follows."""
        any_projects.insert_many([{"owner": "ada", "name": name} for name in "ab"])
        query = "/api/usage?sort=name&limit=2&format=csv"
        before = client.get(query)
        any_projects.insert_one({"owner": "ada", "name": "c"})
        after = client.get(query, headers={"If-None-Match": before.headers["ETag"]})
        assert (after.status_code, after.data) == (200, before.data)
        assert "Link" in after.headers

    @pytest.mark.parametrize("header", [{"If-Match": '"other"'}, {"Range": "bytes=0-3"}, {"If-Range": '"x"'}])
    def test_other_conditions_and_ranges_are_ignored(self, client, header):
        """Other conditional headers and Range are ignored, and the complete response is returned."""
        response = client.get("/api/usage", headers=header)
        assert response.status_code == 200
        assert response.json["success"] is True

    def test_if_match_does_not_affect_a_304(self, client):
        """If-Match is ignored if If-None-Match matches."""
        tag = client.get("/api/usage").headers["ETag"]
        assert client.get("/api/usage", headers={"If-None-Match": tag, "If-Match": '"x"'}).status_code == 304

    def test_errors_have_no_tag(self, client):
        """An error has no tag, because it must not be cached."""
        assert "ETag" not in client.get("/api/usage?limit=x").headers
