"""The directory of an embedded Qdrant: its lock, its collections, its aliases."""

from __future__ import annotations

import fcntl
import shutil
import sys
import threading
from pathlib import Path
from random import getrandbits
from uuid import uuid4

from qmig.embedded.qdrant import settings
from qmig.embedded.qdrant.collection import SETTINGS, Collection, replace
from qmig.embedded.qdrant.refusals import already_exists, bad_input, invalid, not_found
from qmig.errors import TerminalError
from qmig.qdrant import messages as api

FLUSH_SECONDS = 5.0
#: Bits of a peer's id.
PEER_BITS = 53
UNWANTED = '<>:"/\\|?*'


class Storage:
    """All collections of one directory, which one process at a time may open.

    `collections/NAME` holds a collection, `dropped/` what is being deleted, `aliases.pb` the aliases, `peer` the
    server's id, drawn at random as that of a real server.
    """

    def __init__(self, path: Path) -> None:
        """Open `path` and everything in it, or raise TerminalError."""
        self.path = path
        self.lock = threading.RLock()
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self._closing = threading.Event()
        try:
            (path / "collections").mkdir(parents=True, exist_ok=True)
            self._lock_file = (path / "lock").open("w")
        except OSError as error:
            raise TerminalError(
                f"cannot open the directory {path}: {error.strerror}; give --path a directory that can be written"
            ) from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TerminalError(
                f"the directory {path} is in use by another process; stop that one or give another --path"
            ) from error
        shutil.rmtree(path / "dropped", ignore_errors=True)
        if not (path / "peer").exists():
            (path / "peer").write_text(str(getrandbits(PEER_BITS)))
        self.peer = int((path / "peer").read_text())
        self._load()
        self._flusher = threading.Thread(target=self._flush_in_turn, daemon=True)
        self._flusher.start()

    def _load(self) -> None:
        for directory in sorted((self.path / "collections").iterdir()):
            if not (directory / SETTINGS).exists():
                shutil.rmtree(directory)
                continue
            try:
                self.collections[directory.name] = Collection.load(directory.name, directory)
            except Exception as error:
                raise TerminalError(
                    f"cannot open the collection in {directory}: {error}; remove it or give another --path"
                ) from error
        if (self.path / "aliases.pb").exists():
            saved = api.ListAliasesResponse.FromString((self.path / "aliases.pb").read_bytes())
            self.aliases = {alias.alias_name: alias.collection_name for alias in saved.aliases}

    def find(self, name: str) -> Collection:
        """Find the collection of this name or alias."""
        with self.lock:
            collection = self.collections.get(self.aliases.get(name, name))
        if collection is None:
            check_name(name)
            raise not_found(f"Collection `{name}` doesn't exist!")
        return collection

    def exists(self, name: str) -> bool:
        """Whether there is a collection of this name or alias."""
        with self.lock:
            return self.aliases.get(name, name) in self.collections

    def create(self, request: api.CreateCollection) -> None:
        name = request.collection_name
        check_name(name)
        with self.lock:
            if name in self.collections:
                raise already_exists(f"Collection `{name}` already exists!")
            if name in self.aliases:
                raise bad_input(f"Can't create collection with name {name}. Alias with the same name already exists")
            path = self.path / "collections" / name
            shutil.rmtree(path, ignore_errors=True)
            self.collections[name] = Collection.create(name, path, settings.new_config(request), self.peer)

    def delete(self, name: str) -> bool:
        """Delete a collection and its aliases; False if it does not exist."""
        with self.lock:
            collection = self.collections.pop(name, None)
            if collection is None:
                return False
            if name in self.aliases.values():
                self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
                self._save_aliases()
            dropped = self.path / "dropped" / uuid4().hex
            dropped.parent.mkdir(exist_ok=True)
            collection.path.rename(dropped)
            collection.close()
            shutil.rmtree(dropped)
            return True

    def change_aliases(self, request: api.ChangeAliases) -> None:
        with self.lock:
            changed = dict(self.aliases)
            for action in request.actions:
                kind = action.WhichOneof("action")
                if kind == "create_alias":
                    create = action.create_alias
                    if create.collection_name not in self.collections:
                        raise not_found(f"Collection `{create.collection_name}` doesn't exist!")
                    if create.alias_name in self.collections:
                        raise already_exists(f"Collection `{create.alias_name}` already exists!")
                    changed[create.alias_name] = create.collection_name
                elif kind == "rename_alias":
                    rename = action.rename_alias
                    if rename.old_alias_name not in changed:
                        raise not_found(f"Alias {rename.old_alias_name} does not exists!")
                    changed[rename.new_alias_name] = changed.pop(rename.old_alias_name)
                elif kind == "delete_alias":
                    changed.pop(action.delete_alias.alias_name, None)
                else:
                    raise invalid("Malformed AliasOperation type")
            self.aliases = changed
            self._save_aliases()

    def _save_aliases(self) -> None:
        replace(self.path / "aliases.pb", self.list_aliases())

    def list_aliases(self, collection: str | None = None) -> api.ListAliasesResponse:
        response = api.ListAliasesResponse()
        for alias, target in sorted(self.aliases.items()):
            if collection is None or collection == target:
                response.aliases.add(alias_name=alias, collection_name=target)
        return response

    def _flush_in_turn(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            for name in list(self.collections):
                if collection := self.collections.get(name):
                    self._flush(collection)

    def _flush(self, collection: Collection) -> None:
        """Flush; a failed flush loses nothing, since the engine's log holds everything."""
        try:
            collection.flush()
        except Exception as error:  # noqa: BLE001
            print(f"cannot flush the collection {collection.name}: {error}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Flush and close every collection, and unlock the directory."""
        self._closing.set()
        self._flusher.join()
        with self.lock:
            for collection in self.collections.values():
                self._flush(collection)
                collection.close()
            self.collections.clear()
        self._lock_file.close()


def check_name(name: str) -> None:
    fault = None
    if not 1 <= len(name) <= 255:
        fault = f'value "{name}" invalid, must be from 1 to 255 characters'
    elif name in (".", ".."):
        fault = f'collection name cannot be "{name}"'
    elif wrong := [letter for letter in name if letter in UNWANTED or ord(letter) < 32]:
        fault = f'collection name cannot contain "{wrong[0]}" char'
    if fault:
        raise invalid(f"Validation error in body: [collection_name: {fault}]")
