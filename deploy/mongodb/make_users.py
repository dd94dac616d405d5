"""Makes MongoDB's roles and users: a publisher that may do what publishing does, and a dashboard that may read.

For whoever administers MongoDB; the collections are those of the targets. Run again, it sets roles and passwords anew.
It reads MONGODB_ADMIN_URL, MONGODB_PUBLISHER_PASSWORD, MONGODB_DASHBOARD_PASSWORD, and MONGODB_DATABASE (`clicklake`).
"""

from __future__ import annotations

import os
import sys
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from orchestration.publishing.mongodb_target import CollectionTarget
from orchestration.publishing.targets import TARGETS

COLLECTIONS = tuple(target.collection for target in TARGETS if isinstance(target, CollectionTarget))
# User → what it may do in each collection, and nowhere else. Nothing is ever removed: entries are soft-deleted.
ACTIONS = {"publisher": ["find", "insert", "update", "createIndex"], "dashboard": ["find"]}


def main() -> int:
    """Returns the exit status."""
    name = os.environ.get("MONGODB_DATABASE", "clicklake")
    try:
        passwords = {user: os.environ[f"MONGODB_{user.upper()}_PASSWORD"] for user in ACTIONS}
        url = os.environ["MONGODB_ADMIN_URL"]
    except KeyError as error:
        print(f"{error.args[0]} is not set", file=sys.stderr)
        return 2
    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=20_000) as client:
            for user, password in passwords.items():
                made = make_user(client[name], user, password)
                print(f"{name}: {user} {'made' if made else 'set anew'}")
    except (PyMongoError, ValueError) as error:
        code = f" (code {error.code})" if isinstance(error, OperationFailure) else ""
        print(f"MongoDB did not make the users: {type(error).__name__}{code}", file=sys.stderr)  # never the url
        return 1
    return 0


def make_user(database: Any, user: str, password: str) -> bool:
    """Whether the user was made now; one that is there gets this password, and this role alone."""
    role = f"clicklake_{user}"
    make_or_set(database, "Role", role, privileges=privileges(database.name, user), roles=[])
    return make_or_set(database, "User", user, pwd=password, roles=[{"role": role, "db": database.name}])


def privileges(database: str, user: str) -> list[dict[str, Any]]:
    return [
        {"resource": {"db": database, "collection": collection}, "actions": ACTIONS[user]} for collection in COLLECTIONS
    ]


def make_or_set(database: Any, kind: str, name: str, **what: Any) -> bool:
    """Creates a role or user; one that is there is updated. Returns whether it was created."""
    found = database.command(f"{kind.lower()}sInfo", name)[f"{kind.lower()}s"]
    database.command(f"{'update' if found else 'create'}{kind}", name, **what)
    return not found


if __name__ == "__main__":
    sys.exit(main())
