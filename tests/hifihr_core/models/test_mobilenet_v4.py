import timm
import torch

from hifihr_core.models.mobilenet_v4 import MobileNetV4


def test_it_is_the_network_of_timm_to_the_bit() -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("mobilenetv4_conv_small", pretrained=False, num_classes=0).eval()
    ours = MobileNetV4().eval()
    for value in theirs.state_dict().values():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand_like(value) * 0.3 + 0.1 if value.ndim == 1 else torch.randn_like(value) * 0.1)
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 96, 96)
    indices = [0, 1, 2, 3, 4]
    with torch.no_grad():
        last, maps = theirs.forward_intermediates(image, indices=indices, output_fmt="NCHW")
        found, found_maps = ours.forward_intermediates(image, indices=indices)
        assert all(torch.equal(a, b) for a, b in zip(maps, found_maps, strict=True))
        assert torch.equal(theirs.forward_head(last, pre_logits=True), ours.forward_head(found))
    expected = theirs.feature_info if isinstance(theirs.feature_info, list) else theirs.feature_info.info
    assert [(one["num_chs"], one["reduction"]) for one in ours.feature_info] == [
        (one["num_chs"], one["reduction"]) for one in expected
    ]


def test_its_random_weights_keep_gradients_as_theirs_do() -> None:
    torch.manual_seed(0)
    theirs, ours = timm.create_model("mobilenetv4_conv_small", pretrained=False, num_classes=0), MobileNetV4()
    for name, value in ours.state_dict().items():
        if value.ndim == 4:
            assert abs(float(value.std() / theirs.state_dict()[name].std()) - 1) < 0.25, name
