import numpy as np


def compute_batch_normalized_activations_and_remember_intermediates(
    activations_of_the_previous_layer,
    learned_scale_per_feature,
    learned_offset_per_feature,
    exponential_average_of_feature_means,
    exponential_average_of_feature_variances,
    fraction_of_the_old_average_that_is_kept=0.9,
    small_constant_against_division_by_zero=1e-5,
    network_is_currently_being_trained=True,
):
    """Returns (activations, intermediates); both averages are changed in place."""
    if not network_is_currently_being_trained:
        standardized = (activations_of_the_previous_layer - exponential_average_of_feature_means) / np.sqrt(
            exponential_average_of_feature_variances + small_constant_against_division_by_zero)
        return learned_scale_per_feature * standardized + learned_offset_per_feature, None

    mean_of_each_feature = np.mean(activations_of_the_previous_layer, axis=0)
    variance_of_each_feature = np.var(activations_of_the_previous_layer, axis=0)
    reciprocal_deviation = 1.0 / np.sqrt(variance_of_each_feature + small_constant_against_division_by_zero)
    standardized = (activations_of_the_previous_layer - mean_of_each_feature) * reciprocal_deviation

    kept = fraction_of_the_old_average_that_is_kept
    exponential_average_of_feature_means *= kept
    exponential_average_of_feature_means += (1.0 - kept) * mean_of_each_feature
    exponential_average_of_feature_variances *= 1.0 - kept
    exponential_average_of_feature_variances += kept * variance_of_each_feature

    intermediates = (standardized, reciprocal_deviation, learned_scale_per_feature)
    return learned_scale_per_feature * standardized + learned_offset_per_feature, intermediates


def propagate_loss_gradient_through_batch_normalization(gradient_with_respect_to_activations, intermediates):
    """Returns the gradients for the input, for the scale and for the offset."""
    standardized, reciprocal_deviation, learned_scale_per_feature = intermediates
    number_of_examples = gradient_with_respect_to_activations.shape[0]
    gradient_of_offset = gradient_with_respect_to_activations.sum(axis=0)
    gradient_of_scale = (gradient_with_respect_to_activations * standardized).sum(axis=0)
    gradient_of_input = (learned_scale_per_feature * reciprocal_deviation / number_of_examples) * (
        number_of_examples * gradient_with_respect_to_activations
        - gradient_of_offset - standardized * gradient_of_scale)
    return gradient_of_input, gradient_of_scale, gradient_of_offset
