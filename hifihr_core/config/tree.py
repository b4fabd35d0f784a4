"""The settings of a training run: one frozen tree, saved in full in the run folder and in its checkpoints."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from hifihr_core.config.settings import Settings

#: One weight for the whole run, or steps [[epoch, weight], ...]; the last step at or before an epoch applies.
Weight = NonNegativeFloat | tuple[tuple[NonNegativeFloat, NonNegativeFloat], ...]


class DataSettings(Settings):
    """Training and validation data."""

    train: tuple[str, ...] = ("freihand",)
    """Shard folders: names in $HIFIHR_DATA/shards, paths, addresses (s3://...), or "synth", rendered on the fly."""
    proportions: tuple[PositiveFloat, ...] = ()
    """Sampling weight of each dataset in `train`; empty: in proportion to their sizes."""
    validation: tuple[str, ...] = ()
    """Shard folders for validation; empty: a fraction `validation_part` of the training data is held out."""
    validation_part: float = Field(0.02, ge=0, lt=1)
    """Fraction of training annotations held out for validation when `validation` is empty."""
    validation_limit: PositiveInt = 512
    """Maximum number of samples per validation, spread evenly over the datasets."""
    synth_epoch: PositiveInt = 4000
    """Number of samples per epoch of "synth", which is endless."""
    synth_repeats: PositiveInt = 1
    """Number of times that each synthetic hand is used: augmenting it again is far cheaper on a CPU than rendering."""
    image_px: int = Field(224, ge=16, le=4096)
    """Side of the square crop that the network sees, pixels."""
    augmentation: Literal["standard", "paper", "none"] = "standard"
    """Augmentation of training crops: all kinds, only in-plane rotation as in the paper, or none."""
    versions: Literal["first", "all"] = "first"
    """Which pictures to use if an annotation has several (FreiHAND has four): the first, as in the paper, or all."""
    cache_gb: PositiveFloat = 20.0
    """Disk space in GB for shards fetched from addresses ($HIFIHR_DATA/cache); shuffling is best if all of them fit."""
    workers: NonNegativeInt = 2
    """Number of threads that decode and augment, or processes that render "synth" on a CPU; 0: the training thread."""


class ModelSettings(Settings):
    """The network and its hand model."""

    hand: str = "auto"
    """Hand model; "auto": nimble or else mano if installed, else anny (shipped); for "synth" always anny."""
    joints: Literal["auto", "freihand", "ho3d"] = "auto"
    """Joint definition; "auto" is that of the training data."""
    backbone: str = "tf_efficientnet_b3"
    """Backbone: a timm model with feature maps (the paper: tf_efficientnet_b3), or "eyes", the hand detector's."""
    weights: str = "auto"
    """Initial backbone weights: "hub", "shipped", "none" (random), a file, or "auto" (the first that is available)."""
    normalize: bool = True
    """Normalise colours as in the backbone's own training; the original did not do so for EfficientNet."""
    geometry: str = "pooled"
    """Image network: "pooled" regresses the hand as the paper does, "keypoints" finds 2D joints and lifts them."""
    lifter: str = "shipped"
    """Initial weights of the lifter: "shipped" (random unless the hand is anny), "none" (random), or a lifter file."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation in the shared layers of the heads."""
    rotation: Literal["6d", "axis_angle"] = "6d"
    """Parametrisation of the predicted global rotation."""
    relative_to_ray: bool = True
    """Predict rotation and light relative to the ray through the crop's centre instead of the optical axis."""
    mean_shape: bool = False
    """Always use the mean shape, as the paper does on RHD."""
    texture: bool = True
    """Give the network heads that predict texture and light."""
    texture_px: NonNegativeInt = 0
    """Side of the texture map in training, pixels: 0 (full), or a divisor of the full side (for anny: 32 to 512)."""
    light: Literal["bounded", "paper"] = "bounded"
    """How the output of the light head becomes a light: colours are bounded smoothly, or clipped as in the paper."""
    ambient: bool = True
    """Predict the ambient light too; the original fixed it at 0.5."""


class RenderSettings(Settings):
    """Rendering inside the training step."""

    enabled: bool = True
    """Render, and use the photometric and silhouette terms; false corresponds to "without texture" in the paper."""
    backend: Literal["auto", "native", "pytorch3d"] = "auto"
    """Rasteriser; "auto": native."""
    shading: Literal["smooth", "phong"] = "smooth"
    """Lambertian shading, or the original's Phong material."""
    supersample: PositiveInt = 1
    """Render at this multiple of the crop's size, then average; the original used 3."""
    antialias: bool = True
    """Render outlines with their exact coverage of pixels, which gives them a gradient; the original did not."""
    root: Literal["predicted", "given"] = "predicted"
    """Root at which the hand is rendered and projected: the predicted one, or the annotated one as in the original."""


class LossSettings(Settings):
    """Changes to the loss weights of the supervision level; see docs/supervision.md."""

    weights: dict[str, Weight] = Field(default_factory=dict)
    """Weights of terms, by name, that replace those of the supervision level; 0 disables a term."""
    priors: Literal["mean", "start"] = "mean"
    """Centre of the priors on pose, shape and texture: the mean, or the starting network's estimates."""


class TrainSettings(Settings):
    """Supervision, optimisation, validation and checkpoints."""

    supervision: Literal["full", "weak", "self"] = "full"
    """Labels that training may use: all, 2D joints and masks, or only a detector's keypoints."""
    parts: Literal["all", "texture"] = "all"
    """Trainable parts: the whole network, or only the texture and light heads."""
    seed: NonNegativeInt = 0
    """Random seed for weights, order and augmentation."""
    epochs: PositiveInt = 100
    """Number of passes over the training data."""
    max_steps: NonNegativeInt = 0
    """Stop after this many steps; 0 disables it."""
    max_minutes: NonNegativeFloat = 0.0
    """Stop after this many minutes, by which time the learning-rate schedule is complete; 0 disables it."""
    batch_size: PositiveInt = 48
    """Samples per step, in total over all processes."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimiser; the paper used Adam."""
    lr: PositiveFloat = 1e-3
    """Learning rate after warm-up."""
    backbone_lr_factor: NonNegativeFloat = 1.0
    """Learning rate of the backbone as a fraction of `lr`."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled weight decay of AdamW, which excludes biases and normalisation."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """Learning-rate schedule; the paper used steps."""
    lr_milestones: tuple[PositiveFloat, ...] = ()
    """Epochs at which the "steps" schedule multiplies the learning rate by `lr_gamma`."""
    lr_gamma: PositiveFloat = 0.5
    """Factor of the "steps" schedule."""
    lr_end: float = Field(0.01, ge=0, le=1)
    """Final learning rate of the "cosine" schedule as a fraction of `lr`."""
    warmup_steps: NonNegativeInt = 200
    """Number of warm-up steps, over which the learning rate rises from zero."""
    clip_norm: NonNegativeFloat = 100.0
    """Maximum norm of the gradient; 0 disables clipping."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay per step of the moving average of the weights, which validation and checkpoints use; 0 disables it."""
    freeze_statistics: bool = False
    """Freeze batch-normalisation statistics, so that a trained network can be fine-tuned on few samples."""
    mixed_precision: bool = True
    """Use bfloat16 in the network on CUDA; geometry and rendering stay in float32."""
    compile: bool = False
    """Compile the network with torch.compile."""
    nan_limit: PositiveInt = 20
    """Stop the run after this many steps in a row with non-finite numbers in the data or the gradient."""
    validate_every: NonNegativeInt = 1
    """Number of epochs between validations; 0 validates only at the end."""
    save_every_steps: NonNegativeInt = 500
    """Number of steps between checkpoints; 0: only after validations and when the run stops, which always write one."""
    pictures_every_steps: NonNegativeInt = 300
    """Number of steps between sample pictures; 0 disables them."""
    log_every_steps: PositiveInt = 10
    """Number of steps between lines in metrics.jsonl."""


class RunSettings(Settings):
    """All settings of a training run."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    render: RenderSettings = RenderSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
