"""Write USDZ: the hands of a photo with skeletons and textures. Needs the extra `usd`.

The stage is +y up, metres, the photo's camera at the origin: the frame of the GLB files. Skeletons have the pose of the
photo; their rest and bind pose is the flat hand.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hifihr_core.errors import ConfigError
from hifihr_core.exports.bone_names import bone_names
from hifihr_core.exports.clips import Clip, local_transforms
from hifihr_core.exports.encoding import encode_png
from hifihr_core.exports.gltf import T_GLTF_CAM, strongest_influences
from hifihr_core.exports.scenes import SceneHand
from hifihr_core.exports.textured_meshes import Rig, TexturedMesh
from hifihr_core.files import write_atomically

_FRAMES_PER_S = 30.0


def write_usdz(path: Path, hands: Sequence[SceneHand], *, bones: str = "vrm") -> None:
    """Write the hands to one USDZ. A hand is animated by its first clip, or keeps its pose if it has none.

    Raises: ConfigError if the extra `usd` is not installed; DataError if the file cannot be written.
    """
    usd = _library()
    with TemporaryDirectory() as folder:
        scene = Path(folder) / f"{path.stem}.usdc"
        stage = usd.Usd.Stage.CreateNew(str(scene))
        usd.UsdGeom.SetStageUpAxis(stage, usd.UsdGeom.Tokens.y)
        usd.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        stage.SetTimeCodesPerSecond(_FRAMES_PER_S)
        world = usd.UsdGeom.Xform.Define(stage, "/Photo")
        stage.SetDefaultPrim(world.GetPrim())
        for number, hand in enumerate(hands):
            _add_hand(usd, stage, Path(folder), hand, f"/Photo/Hand_{number}", bones)
        stage.GetRootLayer().Save()
        with write_atomically(path) as part:
            packed = scene.with_suffix(".usdz")
            usd.UsdUtils.CreateNewUsdzPackage(str(scene), str(packed))
            part.write_bytes(packed.read_bytes())


def _library() -> Any:
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdSkel, UsdUtils, Vt
    except ImportError as error:
        raise ConfigError("USD files need the package usd-core; run pip install 'hifihr[usd]'") from error
    return SimpleNamespace(
        Gf=Gf, Sdf=Sdf, Usd=Usd, UsdGeom=UsdGeom, UsdShade=UsdShade, UsdSkel=UsdSkel, UsdUtils=UsdUtils, Vt=Vt
    )


def _add_hand(usd: Any, stage: Any, folder: Path, hand: SceneHand, place: str, bones: str) -> None:
    root = usd.UsdSkel.Root.Define(stage, place)
    root.GetPrim().SetCustomDataByKey("hifihr:name", hand.name)
    root.GetPrim().SetCustomDataByKey("hifihr:side", hand.side)
    mesh, rig = hand.mesh, hand.mesh.rig
    shape = _add_mesh(usd, stage, mesh, f"{place}/Mesh")
    if mesh.texture is not None:
        picture = folder / f"{place.rsplit('/', 1)[1]}_texture.png"
        picture.write_bytes(encode_png(mesh.texture))
        _add_material(usd, stage, shape, f"{place}/Skin", picture.name)
    if rig is None:
        return
    joints = _joint_paths(rig, bone_names(rig.names, hand.side, bones))
    skeleton = usd.UsdSkel.Skeleton.Define(stage, f"{place}/Skeleton")
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateBindTransformsAttr(_matrices(usd, rig.T_bind_bone))
    skeleton.CreateRestTransformsAttr(_matrices(usd, local_transforms(rig.T_bind_bone, rig.parents)))
    _bind(usd, shape, skeleton, rig)
    motion = _add_motion(usd, stage, rig, joints, hand.clips[0] if hand.clips else None, f"{place}/Motion")
    binding = usd.UsdSkel.BindingAPI.Apply(skeleton.GetPrim())
    binding.CreateAnimationSourceRel().SetTargets([motion.GetPrim().GetPath()])


def _add_mesh(usd: Any, stage: Any, mesh: TexturedMesh, place: str) -> Any:
    shape = usd.UsdGeom.Mesh.Define(stage, place)
    vertices = mesh.vertices @ T_GLTF_CAM[:3, :3] if mesh.rig is None else mesh.rig.bind_vertices
    shape.CreatePointsAttr(usd.Vt.Vec3fArray.FromNumpy(vertices.astype(np.float32)))
    shape.CreateFaceVertexCountsAttr([3] * len(mesh.faces))
    shape.CreateFaceVertexIndicesAttr(usd.Vt.IntArray.FromNumpy(mesh.faces.astype(np.int32).ravel()))
    shape.CreateSubdivisionSchemeAttr("none")
    shape.CreateExtentAttr(usd.UsdGeom.Mesh.ComputeExtent(shape.GetPointsAttr().Get()))
    primvars = usd.UsdGeom.PrimvarsAPI(shape)
    if mesh.uvs is not None and mesh.faces_uvs is not None:
        uvs = primvars.CreatePrimvar("st", usd.Sdf.ValueTypeNames.TexCoord2fArray, usd.UsdGeom.Tokens.faceVarying)
        uvs.Set(usd.Vt.Vec2fArray.FromNumpy(mesh.uvs.astype(np.float32)))
        uvs.SetIndices(usd.Vt.IntArray.FromNumpy(mesh.faces_uvs.astype(np.int32).ravel()))
    if mesh.vertex_colors is not None:
        colors = primvars.CreatePrimvar("displayColor", usd.Sdf.ValueTypeNames.Color3fArray, usd.UsdGeom.Tokens.vertex)
        colors.Set(usd.Vt.Vec3fArray.FromNumpy(mesh.vertex_colors.astype(np.float32)))
    return shape


def _add_material(usd: Any, stage: Any, shape: Any, place: str, picture: str) -> None:
    material = usd.UsdShade.Material.Define(stage, place)
    surface = usd.UsdShade.Shader.Define(stage, f"{place}/Surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", usd.Sdf.ValueTypeNames.Float).Set(0.6)
    reader = usd.UsdShade.Shader.Define(stage, f"{place}/Chart")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", usd.Sdf.ValueTypeNames.String).Set("st")
    texture = usd.UsdShade.Shader.Define(stage, f"{place}/Texture")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", usd.Sdf.ValueTypeNames.Asset).Set(picture)
    texture.CreateInput("sourceColorSpace", usd.Sdf.ValueTypeNames.Token).Set("sRGB")
    chart = reader.CreateOutput("result", usd.Sdf.ValueTypeNames.Float2)
    texture.CreateInput("st", usd.Sdf.ValueTypeNames.Float2).ConnectToSource(chart)
    color = texture.CreateOutput("rgb", usd.Sdf.ValueTypeNames.Float3)
    surface.CreateInput("diffuseColor", usd.Sdf.ValueTypeNames.Color3f).ConnectToSource(color)
    shown = surface.CreateOutput("surface", usd.Sdf.ValueTypeNames.Token)
    material.CreateSurfaceOutput().ConnectToSource(shown)
    usd.UsdShade.MaterialBindingAPI.Apply(shape.GetPrim()).Bind(material)


def _bind(usd: Any, shape: Any, skeleton: Any, rig: Rig) -> None:
    influences, weights = strongest_influences(rig.weights)
    count = influences.shape[1]
    binding = usd.UsdSkel.BindingAPI.Apply(shape.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPrim().GetPath()])
    indices = usd.Vt.IntArray.FromNumpy(influences.astype(np.int32).ravel())
    binding.CreateJointIndicesPrimvar(False, count).Set(indices)
    binding.CreateJointWeightsPrimvar(False, count).Set(usd.Vt.FloatArray.FromNumpy(weights.astype(np.float32).ravel()))
    binding.CreateGeomBindTransformAttr(usd.Gf.Matrix4d(1.0))


def _add_motion(usd: Any, stage: Any, rig: Rig, joints: list[str], clip: Clip | None, place: str) -> Any:
    """Add the animation: the rig's pose or, with a clip, its poses at 30 time codes per second."""
    motion = usd.UsdSkel.Animation.Define(stage, place)
    motion.CreateJointsAttr(joints)
    motion.CreateScalesAttr(usd.Vt.Vec3hArray([usd.Gf.Vec3h(1, 1, 1)] * len(joints)))
    # Blender poses a skeleton only from time samples, so a single pose is also written at time 0.
    times: Sequence[Any] = [usd.Usd.TimeCode.Default(), 0.0]
    frames = np.stack((rig.T_cam_bone, rig.T_cam_bone))
    if clip is not None:
        times, frames = [float(time) * _FRAMES_PER_S for time in clip.times_s], clip.T_cam_bone
        stage.SetStartTimeCode(min(times[0], stage.GetStartTimeCode()))
        stage.SetEndTimeCode(max(times[-1], stage.GetEndTimeCode()))
    shifts, turns = motion.CreateTranslationsAttr(), motion.CreateRotationsAttr()
    for time, local in zip(times, local_transforms(T_GLTF_CAM @ frames, rig.parents), strict=True):
        shifts.Set(usd.Vt.Vec3fArray.FromNumpy(local[:, :3, 3].astype(np.float32)), time)
        parts = Rotation.from_matrix(local[:, :3, :3]).as_quat()
        turns.Set(
            usd.Vt.QuatfArray([usd.Gf.Quatf(float(w), float(x), float(y), float(z)) for x, y, z, w in parts]), time
        )
    return motion


def _joint_paths(rig: Rig, names: Sequence[str]) -> list[str]:
    paths: list[str] = []
    for bone, parent in enumerate(rig.parents):
        paths.append(names[bone] if parent < 0 else f"{paths[parent]}/{names[bone]}")
    return paths


def _matrices(usd: Any, transforms: np.ndarray) -> Any:
    """Return USD's matrices, which act on row vectors: the transposes of ours."""
    return usd.Vt.Matrix4dArray([usd.Gf.Matrix4d(*transform.T.ravel().tolist()) for transform in transforms])
