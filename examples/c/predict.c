// Asks an exported graph about one row, through ONNX Runtime's C API.
// With a release of it, 1.18 or newer, unpacked as onnxruntime/:
//   cc -std=c11 -O2 -I onnxruntime/include predict.c -L onnxruntime/lib -lonnxruntime -Wl,-rpath,"$PWD/onnxruntime/lib" -o predict
//   ./predict model.onnx RM=6.5 TAX=300
// The graph has one named [N, 1] input a column; a value that is missing has a mark by its type.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_c_api.h"

static const OrtApi *ort;

static _Noreturn void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    fputs("predict: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    exit(1);
}

// Every function of the API returns NULL, or a status that says what went wrong and belongs to the caller.
static void check(OrtStatus *status) {
    if (status != NULL)
        fail("%s", ort->GetErrorMessage(status));
}

static void *allocated(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        fail("there is no memory for %zu x %zu bytes", count, size);
    return memory;
}

// What stands behind NAME= in one argument; NULL where the argument is of another column.
static const char *value_of(const char *name, const char *argument) {
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

// The column's value among the arguments; NULL where it is missing.
static const char *find(const char *name, char **arguments) {
    const char *value = NULL;
    while (value == NULL && *arguments != NULL)
        value = value_of(name, *arguments++);
    return value;
}

// A misspelt name would else be a missing value.
static void check_name(const char *argument, char **names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (value_of(names[i], argument) != NULL)
            return;
    fprintf(stderr, "predict: %s names no column of the graph; it takes", argument);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", names[i]);
    fputc('\n', stderr);
    exit(1);
}

static ONNXTensorElementDataType type_of(const OrtSession *session, size_t input) {
    OrtTypeInfo *info = NULL;
    const OrtTensorTypeAndShapeInfo *tensor = NULL; // part of info, not released
    ONNXTensorElementDataType type;
    check(ort->SessionGetInputTypeInfo(session, input, &info));
    check(ort->CastTypeInfoToTensorInfo(info, &tensor));
    if (tensor == NULL)
        fail("input %zu is no tensor", input);
    check(ort->GetTensorElementType(tensor, &type));
    ort->ReleaseTypeInfo(info);
    return type;
}

// A [1, 1] tensor of the text, or of the mark of what is missing where the text is NULL.
static OrtValue *tensor_of(const char *name, ONNXTensorElementDataType type, const char *text, OrtAllocator *allocator) {
    const int64_t shape[] = {1, 1};
    OrtValue *tensor = NULL;
    void *data = NULL;
    char *end = NULL;
    check(ort->CreateTensorAsOrtValue(allocator, shape, 2, type, &tensor));
    switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING: // UTF-8, in NFC
        text = text != NULL ? text : "\xee\x80\x80"; // U+E000
        check(ort->FillStringTensor(tensor, &text, 1));
        return tensor;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
        check(ort->GetTensorMutableData(tensor, &data));
        *(double *)data = text != NULL ? strtod(text, &end) : NAN;
        break;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64: // microseconds since 1970 UTC
        check(ort->GetTensorMutableData(tensor, &data));
        errno = 0;
        *(int64_t *)data = text != NULL ? strtoll(text, &end, 10) : INT64_MIN;
        if (errno == ERANGE)
            fail("%s=%s is beyond 64 bits", name, text);
        break;
    default:
        fail("column %s has ONNX's element type %d, which this example does not fill", name, (int)type);
    }
    if (text != NULL && (end == text || *end != '\0'))
        fail("%s=%s is no number", name, text);
    return tensor;
}

// The output's name and values, parted by tabs.
static void print(const char *name, OrtValue *output) {
    OrtTensorTypeAndShapeInfo *info = NULL;
    ONNXTensorElementDataType type;
    size_t count = 0;
    check(ort->GetTensorTypeAndShape(output, &info));
    check(ort->GetTensorElementType(info, &type));
    check(ort->GetTensorShapeElementCount(info, &count));
    ort->ReleaseTensorTypeAndShapeInfo(info);
    void *data = NULL;
    if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING)
        check(ort->GetTensorMutableData(output, &data));
    fputs(name, stdout);
    for (size_t i = 0; i < count; i++) {
        putchar('\t');
        switch (type) {
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
            printf("%.9g", ((const float *)data)[i]);
            break;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
            printf("%.17g", ((const double *)data)[i]);
            break;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
            printf("%" PRId64, ((const int64_t *)data)[i]);
            break;
        case ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING: {
            size_t length = 0;
            check(ort->GetStringTensorElementLength(output, i, &length));
            char *text = allocated(length, 1); // no zero ends it
            check(ort->GetStringTensorElement(output, length, i, text));
            fwrite(text, 1, length, stdout);
            free(text);
            break;
        }
        default:
            fail("output %s has ONNX's element type %d, which this example does not print", name, (int)type);
        }
    }
    putchar('\n');
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs("usage: predict MODEL.onnx [COLUMN=VALUE]...\n", stderr);
        return 2;
    }
    ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    if (ort == NULL)
        fail("the library is %s, older than the header", OrtGetApiBase()->GetVersionString());

    OrtEnv *env = NULL;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    OrtAllocator *allocator = NULL; // the library's own, never released
    check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "predict", &env));
    check(ort->CreateSessionOptions(&options));
    check(ort->CreateSession(env, argv[1], options, &session));
    check(ort->GetAllocatorWithDefaultOptions(&allocator));

    size_t input_count = 0, output_count = 0;
    check(ort->SessionGetInputCount(session, &input_count));
    check(ort->SessionGetOutputCount(session, &output_count));
    char **input_names = allocated(input_count, sizeof *input_names);
    char **output_names = allocated(output_count, sizeof *output_names);
    OrtValue **inputs = allocated(input_count, sizeof *inputs);
    OrtValue **outputs = allocated(output_count, sizeof *outputs); // NULL asks Run to make them

    for (size_t i = 0; i < input_count; i++) {
        check(ort->SessionGetInputName(session, i, allocator, &input_names[i]));
        inputs[i] = tensor_of(input_names[i], type_of(session, i), find(input_names[i], argv + 2), allocator);
    }
    for (char **argument = argv + 2; *argument != NULL; argument++)
        check_name(*argument, input_names, input_count);
    for (size_t i = 0; i < output_count; i++)
        check(ort->SessionGetOutputName(session, i, allocator, &output_names[i]));

    check(ort->Run(session, NULL, (const char *const *)input_names, (const OrtValue *const *)inputs, input_count,
                   (const char *const *)output_names, output_count, outputs));

    for (size_t i = 0; i < output_count; i++) {
        print(output_names[i], outputs[i]);
        ort->ReleaseValue(outputs[i]);
        check(ort->AllocatorFree(allocator, output_names[i]));
    }
    for (size_t i = 0; i < input_count; i++) {
        ort->ReleaseValue(inputs[i]);
        check(ort->AllocatorFree(allocator, input_names[i]));
    }
    free(outputs);
    free(inputs);
    free(output_names);
    free(input_names);
    ort->ReleaseSession(session);
    ort->ReleaseSessionOptions(options);
    ort->ReleaseEnv(env);
    return 0;
}
