"""The table of assets as plain data; `registry.py` checks it.

Sizes (bytes) and checksums are those of the published files; torchvision and timm put the first eight hexadecimal
digits of the sha256 into a file's name, and a test compares the table with them.
"""

from typing import Any

_MANO = {
    "kind": "hand model",
    "licence": "gated",
    "terms": "MANO licence: non-commercial research, no redistribution; register on the homepage, then download",
    "homepage": "https://mano.is.tue.mpg.de",
    "citation": "Romero, Tzionas, Black: Embodied Hands. ACM Transactions on Graphics 36(6), 2017",
}

_TORCHVISION = {
    "kind": "metric weights",
    "licence": "free",
    "terms": "BSD-3-Clause (torchvision); trained on ImageNet",
    "homepage": "https://docs.pytorch.org/vision/stable/models.html",
}

_LPIPS = (
    "Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a Perceptual Metric. "
    "CVPR 2018"
)

_TIMM = {
    "kind": "backbone weights",
    "licence": "free",
    "terms": "Apache-2.0 (timm); trained on ImageNet",
    "homepage": "https://huggingface.co/docs/timm",
    "needed_by": "initial weights for pretrain and train",
}

_TIMM_RELEASES = "https://github.com/huggingface/pytorch-image-models/releases/download"

ENTRIES: tuple[dict[str, Any], ...] = (
    {
        **_MANO,
        "id": "mano-right",
        "title": "MANO, right hand",
        "file": "mano_right.npz",
        "files": ("MANO_RIGHT.pkl",),
        "largest_bytes": 64 << 20,
        "needed_by": "hand model `mano`; checks of FreiHAND's and HO-3D's labels",
    },
    {
        **_MANO,
        "id": "mano-left",
        "title": "MANO, left hand",
        "file": "mano_left.npz",
        "files": ("MANO_LEFT.pkl",),
        "largest_bytes": 64 << 20,
        "needed_by": "nothing in hifihr itself: left hands are mirrored right hands",
    },
    {
        "id": "nimble",
        "kind": "hand model",
        "title": "NIMBLE, right hand with its texture basis and UV chart",
        "licence": "unknown",
        "terms": "code under MIT; no terms were published for the model files, so they are treated as non-commercial",
        "homepage": "https://github.com/reyuwei/NIMBLE_model",
        "file": "nimble.npz",
        "files": ("NIMBLE_DICT_9137.pkl", "NIMBLE_TEX_DICT.pkl", "NIMBLE_MANO_VREG.pkl", "NIMBLE_TEX_FUV.pkl"),
        "needed_by": "hand model `nimble`, which the paper uses; checkpoint `hifihr-t7`",
        "citation": "Li, Zhang, Qiu, Jiang, Li, Ma, Zhang, Xu, Yu: NIMBLE. ACM Transactions on Graphics 41(4), 2022",
    },
    {
        **_TORCHVISION,
        "id": "lpips-alex",
        "title": "AlexNet, the backbone of LPIPS (alex); the lpips package contains the rest of LPIPS",
        "file": "alexnet-owt-7be5be79.pth",
        "source": {
            "url": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
            "size": 244_408_911,
            "sha256": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        },
        "needed_by": "the texture metric LPIPS (alex) of eval",
        "citation": _LPIPS,
    },
    {
        **_TORCHVISION,
        "id": "lpips-vgg",
        "title": "VGG-16, the backbone of LPIPS (vgg); the lpips package contains the rest of LPIPS",
        "file": "vgg16-397923af.pth",
        "source": {
            "url": "https://download.pytorch.org/models/vgg16-397923af.pth",
            "size": 553_433_881,
            "sha256": "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        },
        "needed_by": "the texture metric LPIPS (vgg) of eval",
        "citation": _LPIPS,
    },
    {
        **_TORCHVISION,
        "id": "vgg19",
        "title": "VGG-19, for perceptual losses",
        "file": "vgg19-dcbb9e9d.pth",
        "source": {
            "url": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            "size": 574_673_361,
            "sha256": "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        },
        "needed_by": "train, if the weight of the perceptual term is above 0",
        "citation": "Simonyan, Zisserman: Very Deep Convolutional Networks. ICLR 2015",
    },
    {
        **_TIMM,
        "id": "timm-tf_efficientnet_b3",
        "title": "EfficientNet-B3, the backbone of the paper (timm tag aa_in1k)",
        "file": "tf_efficientnet_b3_aa-84b4657e.pth",
        "source": {"url": f"{_TIMM_RELEASES}/v0.1-weights/tf_efficientnet_b3_aa-84b4657e.pth"},
        "citation": "Tan, Le: EfficientNet. ICML 2019; Wightman: PyTorch Image Models, 2019",
    },
    {
        **_TIMM,
        "id": "timm-resnet50",
        "title": "ResNet-50 (timm tag a1_in1k)",
        "file": "resnet50_a1_0-14fe96d1.pth",
        "source": {"url": f"{_TIMM_RELEASES}/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth"},
        "citation": "Wightman, Touvron, Jegou: ResNet Strikes Back. 2021",
    },
    {
        **_TIMM,
        "id": "timm-mobilenetv3_large_100",
        "title": "MobileNetV3-Large, a small backbone (timm tag ra_in1k)",
        "file": "mobilenetv3_large_100_ra-f55367f5.pth",
        "source": {"url": f"{_TIMM_RELEASES}/v0.1-weights/mobilenetv3_large_100_ra-f55367f5.pth"},
        "citation": "Howard et al.: Searching for MobileNetV3. ICCV 2019; Wightman: PyTorch Image Models, 2019",
    },
    {
        "id": "hifihr-t7",
        "kind": "checkpoint",
        "title": "a checkpoint of the HiFiHR authors (.t7)",
        "licence": "unknown",
        "terms": "no terms were published; trained on FreiHAND or HO-3D, which allow research only",
        "homepage": "https://github.com/viridityzhu/HiFiHR",
        "file": "hifihr_t7.safetensors",
        "files": ("*.t7",),
        "largest_bytes": 1 << 30,
        "needed_by": "eval and predict with the authors' weights; it also needs `nimble`",
        "citation": "Zhu, Zhao, Yang, Yao: HiFiHR. German Conference on Pattern Recognition, 2023",
    },
)
