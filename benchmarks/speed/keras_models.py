"""The book's models in Keras 3 on TensorFlow, compiled as Keras does by default; for an environment of its own."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

LATENT = 100
CLASSES = 10
REAL = 0.95


def character_model(vocabulary: int, units: list[int], window: int, *, every_character: bool) -> keras.Model:
    """One-hot characters [B, T, V] to the probabilities of the next, [B, V] or [B, T, V]."""
    stack: list[Any] = [keras.Input((window, vocabulary))]
    for index, size in enumerate(units):
        last = index == len(units) - 1
        stack.append(layers.LSTM(size, return_sequences=every_character or not last))
    stack.append(layers.Dense(vocabulary, activation="softmax"))
    model = keras.Sequential(stack)
    model.compile(keras.optimizers.RMSprop(1e-2), "sparse_categorical_crossentropy")
    return model


class Vae(keras.Model):
    """784-512-2 and back; 784 × mean squared error + KL."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(512, activation="relu")
        self.mean = layers.Dense(2)
        self.log_var = layers.Dense(2)
        self.decoder = keras.Sequential(
            [keras.Input((2,)), layers.Dense(512, activation="relu"), layers.Dense(784, activation="sigmoid")]
        )
        self.seeds = keras.random.SeedGenerator(0)
        self.compile(keras.optimizers.Adam(1e-3))
        self(ops.zeros((1, 784)))  # creates the variables, because a compiled step must not

    def call(self, images: Any) -> Any:
        """Reconstruction; adds its KL to the loss."""
        hidden = self.hidden(images)
        mean, log_var = self.mean(hidden), self.log_var(hidden)
        self.add_loss(-0.5 * ops.mean(ops.sum(1 + log_var - ops.square(mean) - ops.exp(log_var), axis=1)))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return self.decoder(mean + ops.exp(log_var / 2) * noise)

    def compute_loss(self, _x: Any, y: Any, y_pred: Any, _sample_weight: Any = None) -> Any:
        """Per image, summed over its pixels."""
        return 784 * ops.mean(ops.square(y_pred - y)) + sum(self.losses)


def make_generator() -> keras.Model:
    """Latents [B, 100] and labels [B] to images [B, 28, 28, 1]."""
    z, label = keras.Input((LATENT,)), keras.Input((), dtype="int32")
    x = layers.Multiply()([z, layers.Embedding(CLASSES, LATENT)(label)])
    x = layers.Reshape((3, 3, 384))(layers.Dense(3 * 3 * 384, activation="relu")(x))
    x = layers.BatchNormalization()(layers.Conv2DTranspose(192, 5, activation="relu")(x))
    x = layers.Conv2DTranspose(96, 5, strides=2, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    image = layers.Conv2DTranspose(1, 5, strides=2, padding="same", activation="tanh")(x)
    return keras.Model([z, label], image)


def make_discriminator() -> keras.Model:
    """Images [B, 28, 28, 1] to realness [B, 1], a logit, and class logits [B, 10]."""
    x = image = keras.Input((28, 28, 1))
    for channels, strides in ((32, 2), (64, 1), (128, 2), (256, 1)):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(channels, 3, strides=strides, padding="same")(x))
        x = layers.Dropout(0.3)(x)
    features = layers.Flatten()(x)
    return keras.Model(image, [layers.Dense(1)(features), layers.Dense(CLASSES)(features)])


class Acgan(keras.Model):
    """One step of the discriminator on 100 real and 100 generated images, one of the generator on 200."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = make_generator(), make_discriminator()
        self.seeds = keras.random.SeedGenerator(0)
        self.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        self.g_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.d_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)
        self.bce_with_label = keras.losses.BinaryCrossentropy(from_logits=True)
        self.class_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.built = True  # its parts are

    def noise(self, batch: int) -> tuple[Any, Any]:
        """Latents, uniform ±1, and classes."""
        z = keras.random.uniform((batch, LATENT), -1, 1, seed=self.seeds)
        return z, keras.random.randint((batch,), 0, CLASSES, seed=self.seeds)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of each."""
        images, labels = data
        batch = images.shape[0]
        z, random_labels = self.noise(batch)
        generated = self.generator([z, random_labels], training=False)
        wanted = tf.concat([tf.fill((batch, 1), REAL), tf.zeros((batch, 1))], 0)
        with tf.GradientTape() as tape:
            realness, classes = self.discriminator(tf.concat([images, generated], 0), training=True)
            d_loss = self.bce_with_label(wanted, realness) + self.class_loss(
                tf.concat([labels, random_labels], 0), classes
            )
        weights = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)

        z, random_labels = self.noise(2 * batch)
        with tf.GradientTape() as tape:
            realness, classes = self.discriminator(self.generator([z, random_labels], training=True), training=True)
            g_loss = self.bce_with_label(tf.fill((2 * batch, 1), REAL), realness) + self.class_loss(
                random_labels, classes
            )
        weights = self.generator.trainable_variables
        self.g_optimizer.apply(tape.gradient(g_loss, weights), weights)
        return {"d_loss": d_loss, "g_loss": g_loss}
