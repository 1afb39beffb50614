"""Code that the snippets of a page need and that readers do not: it runs before the line under which it is listed."""

HIDDEN_CODE = {
    "cli": {
        "## Report": "fill()",
        "## History": "app_of_the_report, app = app, mount_history()",
        "## Platform": "app = mount_platform()",
        "## Ingest": "app = app_of_the_report",
        "If no project matches, the line says whether the id would match with another type:": """
db.projects.insert_many([{"owner": 7, "name": "shop"} for _ in range(3)])
""",
        "The line is a problem if the list is empty.": 'db.projects.delete_many({"owner": 7})',
    },
    "counting": {
        "## Count the requests of an application": """
from flask import Flask, abort, g
app = Flask("host")
projects = db.projects
projects.insert_one({"_id": "blog", "domain": "blog.example", "page": "Hello"})
""",
        "## Many processes": "recorder.close()",
    },
    "edge": {"## Start": 'save_log("usage.log")'},
    "history": {
        "## Set up a history": 'token = token_of("ada")',
        "## Monitoring": "recorder.close()",
    },
    "index": {
        "With a user's token, `GET /api/usage` returns the user's projects:": """
from datetime import datetime
blog = {"_id": 1, "owner": "ada", "name": "blog", "plan": "pro", "totalRequest": 12890}
service = {"_id": 2, "owner": "ada", "name": "api-service", "plan": "business", "totalRequest": 89456}
db.projects.insert_many([blog, service | {"updatedAt": datetime(2024, 3, 14, 10, 15)}])
"""
    },
    "platform": {"## Set it up": 'token, users_token = token_of("ada"), token_of("bob")'},
    "recipes": {
        "## Limit the request rate": "app = new_host()",
        "## Limit the requests of a plan": """
from flask_usage_stats import UsageHistory, UsageRecorder
history = UsageHistory(db.usage_history)
recorder = UsageRecorder(store, history=history)
""",
        "## Cache responses": """
recorder.close()
db.projects.delete_many({})
""",
        "## Nest it under a versioned parent": "app = new_host()",
        "## Register two blueprints": "app = new_host()",
    },
}
