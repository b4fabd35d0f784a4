"""Check our files in Blender: bones lie along the fingers, bones curl a finger, a round trip changes nothing.

    python tools/blender_check.py make FOLDER     # with hifihr: scenes with a right, a left, and both hands
    python tools/blender_check.py check FOLDER    # with bpy (pip install bpy): findings and pictures

`nox -s blender` does both. `check` exits with code 1 if a check fails.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

_CURL_DEG = {"Proximal": 70, "Intermediate": 90, "Distal": 50}
_ROUND_TRIP_M = 1e-4


def main() -> None:
    """Make the scenes, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("make", "check"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.step == "make":
        make(arguments.folder)
        return
    failures = [line for path in sorted(arguments.folder.glob("*.glb")) for line in check(path)]
    print("\n".join(failures) or "all checks passed")
    sys.exit(1 if failures else 0)


def make(folder: Path) -> None:
    """Write right.glb, left.glb and both.glb: sampled hands of the free model half a metre from the camera."""
    import torch

    from hifihr_core.exports.forearm import with_forearm
    from hifihr_core.exports.scenes import SceneHand, write_scene
    from hifihr_core.exports.textured_meshes import mirror_x, posed_mesh
    from hifihr_core.hands import HandParameters, load_hand
    from hifihr_core.placed_hands import PlacedHands

    hand = load_hand("anny", texture_px=256)
    drawn = hand.sample_parameters(2, generator=torch.Generator().manual_seed(12))
    hands = []
    for k, side in enumerate(("right", "left")):
        values = (drawn.global_orient, drawn.pose, drawn.shape, drawn.texture)
        parameters = HandParameters(*(value[k : k + 1] for value in values))
        mesh = posed_mesh(hand, PlacedHands(parameters, torch.tensor([[0.12, 0.0, 0.5]])))
        hands.append(SceneHand(with_forearm(mirror_x(mesh) if side == "left" else mesh), side, side))
    for name, chosen in {"right": hands[:1], "left": hands[1:], "both": hands}.items():
        write_scene(folder / f"{name}.glb", chosen)
        np.savez(folder / f"{name}.npz", **{hand.name: hand.mesh.vertices for hand in chosen})


def check(path: Path) -> list[str]:
    """Return the problems of a scene in Blender; pictures of its first hand are written beside it."""
    failures: list[str] = []
    _open(path)
    armatures = _armatures()
    for armature in armatures:
        failures += [f"{path.name}: {line}" for line in _check_bones(armature)]
        failures += [f"{path.name}: {line}" for line in _check_pose(armature, path)]
    if len(armatures) != len(np.load(path.with_suffix(".npz")).files):
        failures.append(f"{path.name}: {len(armatures)} armatures")
    _render_all(armatures[0], path)
    failures += [f"{path.name}: {line}" for line in _check_round_trip(path)]
    return failures


def _open(path: Path) -> None:
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(path))


def _armatures() -> list:
    import bpy

    return sorted((one for one in bpy.data.objects if one.type == "ARMATURE"), key=lambda one: one.name)


def _mesh_of(armature):
    import bpy

    return next(one for one in bpy.data.objects if one.type == "MESH" and one.find_armature() == armature)


def _vertices(armature) -> np.ndarray:
    """Return the vertices as Blender poses them now, world frame (+z up)."""
    import bpy

    mesh = _mesh_of(armature)
    shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([list(shown.matrix_world @ vertex.co) for vertex in shown.data.vertices])


def _check_bones(armature) -> list[str]:
    """Check that every bone points at its child, or the last bone of a finger at its tip."""
    failures = []
    for bone in armature.data.bones:
        if not bone.children or bone.name.endswith("Hand"):
            continue
        along = (bone.tail_local - bone.head_local).normalized()
        child = (bone.children[0].head_local - bone.head_local).normalized()
        if along.dot(child) < math.cos(math.radians(1)):
            failures.append(f"{bone.name} points {math.degrees(along.angle(child)):.0f} degrees past its child")
    return failures


def _check_pose(armature, path: Path) -> list[str]:
    """Check that the first frame shows the photo's hand."""
    expected = np.load(path.with_suffix(".npz"))[armature.name.removesuffix("_armature")]
    shown = _vertices(armature) @ np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]])  # Blender's (x, y, z) is our (x, z, -y)
    shown = shown * [1, -1, 1]
    far = max(float(np.linalg.norm(expected - vertex, axis=1).min()) for vertex in shown[::20])
    return [] if far < 0.012 else [f"{armature.name}: shown {1e3 * far:.0f} mm from the photo's hand"]


def _curl(armature, finger: str) -> None:
    """Check that rotations about the bones' own x curl a finger of the armature in its rest pose."""
    import bpy
    import mathutils

    armature.animation_data_clear()
    for bone in armature.pose.bones:
        bone.matrix_basis = mathutils.Matrix()
    side = next(bone.name for bone in armature.pose.bones if bone.parent is None).removesuffix("Hand")
    for part, angle in _CURL_DEG.items():
        bone = armature.pose.bones[f"{side}{finger}{part}"]
        bone.rotation_mode = "XYZ"
        bone.rotation_euler = (math.radians(angle), 0.0, 0.0)
    bpy.context.view_layer.update()


def _check_round_trip(path: Path) -> list[str]:
    """Check that a posed bone survives export and import."""
    import bpy

    _open(path)
    for armature in _armatures():
        _curl(armature, "Middle")
    before = [_vertices(armature) for armature in _armatures()]
    again = path.with_name(f"{path.stem}_again").with_suffix(".tmp.glb")
    bpy.ops.export_scene.gltf(filepath=str(again), export_animations=False, export_rest_position_armature=False)
    _open(again)
    after = [_vertices(armature) for armature in _armatures()]
    again.unlink()
    farthest = max(float(np.abs(a - b).max()) for a, b in zip(before, after, strict=True))
    print(f"{path.name}: round trip within {farthest:.1e} m")
    return [] if farthest < _ROUND_TRIP_M else [f"round trip moves vertices by {farthest:.1e} m"]


def _render_all(armature, path: Path) -> None:
    """Write pictures: the photo's pose, the flat hand, its bones, a curled finger."""
    _stage()
    middle = _vertices(armature).mean(axis=0)
    _render(path.with_name(f"{path.stem}_1_photo.png"), middle + np.array([0, -0.42, 0.02]), middle)
    armature.data.pose_position = "REST"
    eye, look = np.array([0.0, -0.45, 0.12]), np.array([0.0, 0.0, 0.09])
    _render(path.with_name(f"{path.stem}_2_flat.png"), eye, look)
    armature.data.pose_position = "POSE"
    _curl(armature, "Index")
    _render(path.with_name(f"{path.stem}_4_curled.png"), eye + np.array([0.16, 0.03, 0.03]), look)
    mesh = _mesh_of(armature)
    armature.animation_data_clear()
    mesh.hide_render = True
    armature.data.pose_position = "REST"
    _draw_bones(armature)
    _render(path.with_name(f"{path.stem}_3_bones.png"), eye, look)


def _stage() -> None:
    import bpy

    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("grey")
    scene.world.color = (0.5, 0.5, 0.55)
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "SUN"))
    lamp.data.energy, lamp.rotation_euler = 3.0, (0.7, 0.3, 0.0)
    scene.camera = bpy.data.objects.new("eye", bpy.data.cameras.new("eye"))
    scene.camera.data.clip_start = 0.01
    for one in (lamp, scene.camera):
        scene.collection.objects.link(one)
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 8, "CPU"
    scene.render.resolution_x = scene.render.resolution_y = 400
    scene.view_settings.view_transform = "Standard"


def _render(path: Path, eye: np.ndarray, look: np.ndarray) -> None:
    import bpy
    import mathutils

    scene = bpy.context.scene
    scene.camera.location = eye
    scene.camera.rotation_euler = mathutils.Vector(look - eye).to_track_quat("-Z", "Y").to_euler()
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def _draw_bones(armature) -> None:
    """Draw every bone as in the viewport: a slim octahedron from head to tail."""
    import bpy
    import mathutils

    paint = bpy.data.materials.new("bone")
    paint.diffuse_color = (0.1, 0.3, 0.9, 1.0)
    ring = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    for bone in armature.data.bones:
        length = bone.length
        corners = [(0, 0, 0), *((0.1 * x * length, 0.1 * length, 0.1 * z * length) for x, z in ring), (0, length, 0)]
        place = armature.matrix_world @ bone.matrix_local
        faces = [(0, k, k % 4 + 1) for k in range(1, 5)] + [(5, k % 4 + 1, k) for k in range(1, 5)]
        shape = bpy.data.meshes.new("bone")
        shape.from_pydata([place @ mathutils.Vector(corner) for corner in corners], [], faces)
        shape.materials.append(paint)
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("bone", shape))


if __name__ == "__main__":
    main()
