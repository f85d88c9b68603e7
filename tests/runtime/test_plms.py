"""The sampler's numbers against the library's own scheduler, step by step."""

import pytest
from sdops_runtime import dialect, plms

CASES = [(2, 0.8), (3, 1.0), (4, 0.25), (10, 0.5), (20, 0.33), (50, 0.8), (50, 1.0), (333, 0.1), (999, 0.02)]


@pytest.fixture(scope="module")
def scheduler(libraries):
    from diffusers import PNDMScheduler

    return PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
    )


def planned(scheduler, steps, strength):
    return plms.schedule(
        tuple(scheduler.alphas_cumprod),
        scheduler.final_alpha_cumprod,
        1,
        steps,
        dialect.first_timestep(steps, strength),
    )


@pytest.mark.parametrize(("steps", "strength"), CASES)
def test_steps_are_those_of_the_library_scheduler(scheduler, steps, strength):
    import torch

    schedule = planned(scheduler, steps, strength)
    scheduler.set_timesteps(steps)
    first = dialect.first_timestep(steps, strength)
    assert [step.timestep for step in schedule.steps] == scheduler.timesteps[first:].tolist()
    generator = torch.Generator().manual_seed(1)
    ours = theirs = torch.randn(1, 4, 8, 8, generator=generator)
    sampler = plms.Plms()
    for step, timestep in zip(schedule.steps, scheduler.timesteps[first:]):
        output = torch.randn(ours.shape, generator=generator)
        ours = sampler.advance(step, output, ours)
        theirs = scheduler.step(output, timestep, theirs).prev_sample
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("steps", "strength"), CASES)
def test_noise_is_added_as_the_library_adds_it(scheduler, steps, strength):
    import torch

    schedule = planned(scheduler, steps, strength)
    latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    theirs = scheduler.add_noise(latents, noise, torch.tensor([schedule.steps[0].timestep]))
    torch.testing.assert_close(schedule.signal * latents + schedule.noise * noise, theirs)


def test_fifty_steps_at_the_default_strength_call_the_unet_41_times(scheduler):
    assert len(planned(scheduler, 50, 0.8).steps) == 41
