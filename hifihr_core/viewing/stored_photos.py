"""The photos in a results folder, read one at a time on demand."""

import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hifihr_core.errors import DataError
from hifihr_core.exports.forearm import with_forearm
from hifihr_core.exports.results import HandResult
from hifihr_core.exports.run_index import input_file, read_index
from hifihr_core.exports.stored_hands import hand_from_document, mesh_before, read_hand_document
from hifihr_core.exports.textured_meshes import TexturedMesh
from hifihr_core.hands import HandModel, load_hand
from hifihr_core.photos.reading import Photo, read_photo


class StoredPhotos:
    """The photos with hands that a folder's `hands.json` lists.

    Raises: DataError if there are none, or no `hands.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries = [entry for entry in read_index(folder) if entry["hands"]]
        if not self._entries:
            raise DataError(f"{folder}: no photo with hands, expected results of `hifihr predict`; check the path")

    def __len__(self) -> int:
        """Return the number of photos with hands."""
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Return a unique name per photo."""
        names = [Path(entry["path"]).name for entry in self._entries]
        return tuple(f"{name} ({k + 1})" if names.count(name) > 1 else name for k, name in enumerate(names))

    def photo(self, number: int) -> Photo | None:
        """Return the photo, or None if its file no longer exists."""
        found = input_file(self.folder, self._entries[number])
        return None if found is None else read_photo(found)

    def hands(self, number: int) -> list[HandResult]:
        """Return the hands of a photo with their saved textures and a forearm stub.

        Raises: DataError if a file is missing or broken.
        """
        return [self._hand(entry["files"]) for entry in self._entries[number]["hands"]]

    def _hand(self, files: list[str]) -> HandResult:
        documents = [self.folder / name for name in files if name.endswith(".json")]
        if not documents:
            raise DataError(
                f"{self.folder}: the .json of a hand is missing; run `hifihr predict --format json,obj` again"
            )
        document = read_hand_document(documents[0])
        hand = hand_from_document(document, _model(document["hand"]), documents[0])
        pictures = [self.folder / name for name in files if name.endswith("_texture.png")]
        if hand.mesh.texture is None or not pictures or not os.path.isfile(pictures[0]):
            return replace(hand, mesh=with_forearm(hand.mesh))
        texture = read_photo(pictures[0]).image
        return replace(hand, mesh=with_forearm(replace(hand.mesh, texture=texture)))


def before_refinement(hand: HandResult) -> TexturedMesh:
    """Return the mesh of the hand before refinement, with a forearm stub; the final mesh if it was not refined."""
    mesh = mesh_before(hand, _model(hand.hand))
    return hand.mesh if mesh is None else with_forearm(mesh)


@lru_cache(maxsize=2)
def _model(name: str) -> HandModel:
    return load_hand(name)
