/* params.c -- the one table of settings. A setting is added here and in struct tess_config; then
 * tools/update_reference.sh writes it into config/reference.yaml and docs/configuration.md. */
#include "tessera/config.h"

#include <stddef.h>

#define AT(field)                                  offsetof(struct tess_config, field)
#define INT(field, initial, low, high, unit, help) /* numeric whole number */                      \
    {                                                                                              \
#field, TESS_PARAM_INT, 1, AT(field), initial, low, high, NULL, unit, help                 \
    }
#define REAL(field, initial, low, high, unit, help) /* numeric real number */                      \
    {                                                                                              \
#field, TESS_PARAM_REAL, 1, AT(field), initial, low, high, NULL, unit, help                \
    }
#define CHOICE(field, initial, choices, help)                                                      \
    {                                                                                              \
#field, TESS_PARAM_CHOICE, 1, AT(field), initial, 0, 0, choices, NULL, help                \
    }
#define TEXT(field, unit, help)                                                                    \
    {                                                                                              \
#field, TESS_PARAM_TEXT, 0, AT(field), "", 0, 0, NULL, unit, help                          \
    }
#define NAMES(field, unit, help) /* changes bits */                                                \
    {                                                                                              \
#field, TESS_PARAM_TEXT, 1, AT(field), "", 0, 0, NULL, unit, help                          \
    }
#define PATH(field, help)            TEXT(field, "path", help)
#define SWITCH(field, initial, help) /* changes no bit */                                          \
    {                                                                                              \
#field, TESS_PARAM_CHOICE, 0, AT(field), initial, 0, 0, "false|true", NULL, help           \
    }
#define LAYOUT(type, field, initial, low, high, unit, help)                                        \
    {                                                                                              \
#field, type, 0, AT(field), initial, low, high, NULL, unit, help                           \
    }

/* clang-format off */
const struct tess_param tess_params[] = {
    PATH(data.store,
         "Store to train on, made by 'tessera import'. Required."),
    CHOICE(data.normalize, "none", "none|zscore|delta",
           "How values are scaled within each context, estimated from training rows only. zscore: each "
           "readout to mean 0 and deviation 1. delta: the context's control mean is subtracted. "
           "Results always come back in the store's units."),
    REAL(data.scale, "5", 0, 1e6, NULL,
         "The model learns scale x (value - mean) / deviation, with one mean and one deviation of all "
         "training values, after data.normalize. 0: values as they are, as published. Results always "
         "come back in the store's units."),
    INT(data.top_variable, "0", 0, 1e9, "readouts",
        "Keep only the readouts that vary most over the training rows. 0: all."),
    CHOICE(data.weight, "none", "none|replicates|column",
           "What an experiment's values count in the training loss, which is then a weighted mean. "
           "replicates: n / (n + 4) of n replicates. column: the weights that 'tessera import --weight' "
           "kept. Both are divided by their mean over the training values. Validation and scores are not "
           "weighted."),
    SWITCH(data.streaming, "false",
           "true: values are read from the store shortly before a step needs them, rather than held in "
           "memory, for stores larger than that. It changes no bit, and may differ from session to "
           "session of a run."),

    PATH(run.directory,
         "Directory for checkpoints, log and settings of this run. Where it holds an unfinished run, "
         "training goes on from there. Required."),
    INT(run.seed, "13", 0, 4294967295.0, NULL,
        "Seed of everything random: initial values, order of the data, dropout."),

    CHOICE(model.kind, "mlp", "mlp|dot|cp|auto",
           "What predicts a value. mlp: a multilayer perceptron of all three embeddings, as published. "
           "dot: one of perturbation and context, times the readout's embedding, much cheaper; with a "
           "single readout one of the perturbation, times the context's. cp: no hidden layer, a "
           "tensor decomposition. auto: dot with fewer than 700 training experiments of "
           "several readouts, and with a single readout and more than 524288 training observations; "
           "else mlp."),
    INT(model.embedding_dim, "64", 1, 65536, "columns",
        "Columns of the three embedding tables."),
    INT(model.hidden_dim, "192", 1, 65536, "units",
        "Units of each hidden layer."),
    INT(model.layers, "2", 0, 64, "layers",
        "Hidden layers. 0: a linear function of the three embeddings."),
    CHOICE(model.activation, "auto", "relu|silu|auto",
           "Of the hidden layers' units. silu: z / (1 + exp(-z)). relu: max(z, 0), as published. auto: "
           "silu for model.kind mlp, relu for dot, each the more accurate one."),
    REAL(model.dropout, "0.1", 0, 0.99, "share",
         "Share of hidden units dropped in each training step."),
    CHOICE(model.combination, "auto", "mean|sum|max|auto",
           "How the components of a perturbation A+B+... become one embedding. mean: as published. "
           "auto: sum where single perturbations are trained on, whose unseen combinations it "
           "predicts better; else mean. A run that goes on keeps its rule, and one that begins from "
           "a model (train.init) has the model's, as with model.kind."),
    CHOICE(model.doses, "false", "false|true",
           "true: a perturbation called drug@10uM or drug@10uM@24h (import --dose) is the sum of "
           "embeddings of the drug and of what its dose and time change, and one of its own, so "
           "that doses that were never measured can be predicted."),
    CHOICE(model.context_parts, "false", "false|true",
           "true: a context whose name is parts joined by _, as A549_24h, is the sum of its parts' "
           "embeddings and one of its own, so that parts that were never measured together can be "
           "predicted. All contexts must have as many parts."),
    CHOICE(model.noise, "none", "none|learned",
           "learned: the model also says how far a measured value will lie from its prediction: a deviation "
           "for each perturbation, readout and context, which predict, impute and evaluate give beside it. "
           "Predictions stay the same to the bit."),

    PATH(features.perturbations,
         "File of numbers about perturbations from elsewhere: a table of text whose first column is the "
         "symbol, or .h5ad, by the symbol of a component, its target (GATA1 of CRISPRi_GATA1) or its drug (aspirin of aspirin@10uM). "
         "Perturbations without training data can then be predicted. Empty: none."),
    PATH(features.readouts,
         "The same about readouts."),
    INT(features.axes, "64", 1, 4096, "axes",
        "Leading principal axes of the features that are kept."),

    INT(train.epochs, "60", 1, 1e6, "epochs",
        "Passes over the training data."),
    INT(train.batch, "0", 0, 1e12, "observations",
        "Observations per step, over all lanes. 0: chosen from the data, the power of two that gives "
        "256 to 512 steps an epoch, kept between 256 and 16384 and not below train.lanes."),
    CHOICE(train.sampling, "auto", "tiles|observations|auto",
           "What a step takes. tiles: blocks of experiments x readouts, much cheaper in large steps. "
           "observations: single values drawn at random, as published. auto: observations for an mlp "
           "with at most 524288 of them to train on, which then learns more and no slower, unless a "
           "tile's shape is set; else tiles."),
    INT(train.tile_experiments, "0", 0, 65536, "experiments",
        "Experiments of a tile. 0: chosen by the program from the data and the batch."),
    INT(train.tile_readouts, "0", 0, 65536, "readouts",
        "Readouts of a tile. 0: chosen by the program from the data and the batch."),
    INT(train.lanes, "0", 0, 65536, "lanes",
        "Streams into which the experiments are partitioned; the most ranks x threads that can "
        "work. Results depend on it, but never on ranks or threads. 64 suits clusters. 0: 16; with "
        "model.kind dot or cp one for each 16384 observations of a batch, 8 to 64."),
    CHOICE(train.precision, "auto", "float32|bfloat16|auto",
           "Of the operands of the hidden layers' products. bfloat16: rounded to 8 bits of precision, "
           "summed in float32, by the processor's matrix unit where it has one; everything else stays "
           "float32. auto: bfloat16 for an mlp where there is a unit for it, else float32; a run that was "
           "begun keeps what it began with."),
    CHOICE(train.optimizer, "adamw", "adam|adamw|sgd",
           "adam: weight decay is added to the gradient. adamw: decay apart from it, as published. "
           "sgd: with momentum."),
    REAL(train.learning_rate, "0.005", 0, 1e3, NULL,
         "Learning rate after warm-up."),
    CHOICE(train.schedule, "cosine", "constant|exponential|cosine",
           "How the learning rate falls over the epochs."),
    REAL(train.decay, "0", 0, 1, NULL,
         "exponential: factor for the learning rate after each epoch. cosine: share of it that is left "
         "at the end."),
    REAL(train.warmup, "0", 0, 1e6, "epochs",
         "The learning rate rises linearly from 0 over so many epochs first."),
    REAL(train.weight_decay, "0.1", 0, 1e3, NULL,
         "Weight decay, on all parameters, tables included."),
    REAL(train.momentum, "0.9", 0, 0.9999, NULL,
         "Momentum of sgd; the others do not use it."),
    PATH(train.init,
         "A checkpoint, or a run, that training begins from: perturbations, readouts and contexts that it "
         "was trained on keep their rows, by name, and the network is its network, which must have the "
         "same shape. Member k of an ensemble begins from member k. Not read any more once the run has a "
         "checkpoint. Empty: from random numbers."),
    NAMES(train.init_hash, "hash",
          "Of the file of train.init, as used.yaml has it: another one is refused. Empty: any goes."),
    CHOICE(train.init_new, "mean", "random|mean",
           "With train.init: how rows of symbols begin that it was not trained on. mean: as the mean of "
           "all rows of the table; of a perturbation, of those of its type (CRISPRi, KO, compound, ...); "
           "of a part of contexts or doses, of those like it. What is a symbol's own beside its parts, "
           "dose or features begins at 0. random: as without train.init."),
    CHOICE(train.experiments, "all", "all|new",
           "new: with train.init, steps take only experiments of a context, perturbation or readout that it "
           "was not trained on, which takes seconds where they are few; train.freeze then keeps what is "
           "known as it was."),
    NAMES(train.freeze, "parts",
          "Parts that stay as they are, without decay: any of perturbations, readouts, contexts (the tables) "
          "and network, as readouts,network. Empty: none."),
    REAL(train.rate_perturbations, "1", 0, 1e3, NULL,
         "Factor of the learning rate, and so of adamw's decay, for the table of perturbations. 0: as "
         "train.freeze."),
    REAL(train.rate_readouts, "1", 0, 1e3, NULL,
         "The same for the table of readouts."),
    REAL(train.rate_contexts, "1", 0, 1e3, NULL,
         "The same for the table of contexts."),
    REAL(train.rate_network, "1", 0, 1e3, NULL,
         "The same for the network."),
    INT(train.patience, "0", 0, 1e6, "epochs",
        "Stop when the validation RMSE has not improved for so many epochs. 0: never."),
    LAYOUT(TESS_PARAM_INT, train.members, "1", 1, 1000, "models",
           "So many models of an ensemble, in member-1, member-2, … of the run directory, with run.seed, "
           "run.seed + 1, …; each is the same as a run of its own with that seed. Raised later, members "
           "are added."),
    TEXT(train.member_kinds, "kinds",
         "Kinds of the members in turn, as mlp,dot: so many members that follow each other share a "
         "seed. Empty: all have model.kind."),
    LAYOUT(TESS_PARAM_INT, train.groups, "1", 1, 1e6, "groups",
           "Members are trained side by side on so many groups of ranks. 1: one after another."),
    LAYOUT(TESS_PARAM_INT, train.threads, "0", 0, 4096, "threads",
           "Threads of a rank. 0: as OMP_NUM_THREADS says, else 1."),

    LAYOUT(TESS_PARAM_REAL, checkpoint.minutes, "15", 0, 1e6, "minutes",
           "A checkpoint at least so often, beside those of the best and of the last epoch."),
    LAYOUT(TESS_PARAM_INT, checkpoint.keep, "3", 1, 1e6, "checkpoints",
           "So many of the last checkpoints are kept, and the best one."),
};
/* clang-format on */

const int tess_n_params = sizeof tess_params / sizeof tess_params[0];
